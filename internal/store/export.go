package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"linectl/internal/hint"
	"linectl/internal/whole"
)

// Exported is what an export holds.
type Exported struct {
	File     string `json:"file"`
	Bytes    int64  `json:"bytes"`
	Parts    int64  `json:"parts"`
	Rows     int64  `json:"rows"`
	Heatmaps int64  `json:"heatmaps"`
	Pictures int64  `json:"pictures"`
	Missing  int64  `json:"missing"`  // pictures that are gone or changed, and were not removed by retention
	Unsealed int64  `json:"unsealed"` // rows that no seal covers yet
}

// Export writes everything that the record knows of the parts that match into one file, with the proof
// that the rows stand in the chain. docs/evidence.md has the form. It works beside a running daemon; the
// file has its name only when it is whole, and none is written over.
func (r *Reader) Export(ctx context.Context, path string, f Filter, software string, at time.Time) (Exported, error) {
	x := &exporter{reader: r, Exported: Exported{File: path}}
	if err := x.write(ctx, path, f, manifest{Format: exportFormat, Software: software, Created: at.UTC()}); err != nil {
		return Exported{}, fmt.Errorf("export to %s: %w", path, r.explain(err))
	}
	return x.Exported, nil
}

type exporter struct {
	reader *Reader
	Exported

	head    link
	wanted  map[[2]int64]bool // by kind and row
	places  []int64           // of these rows in the chain, in order
	parts   []int64
	removed map[int64]bool // frames
	maps    map[int64]bool // inspections of whose heatmap an exported row has the hash
	gone    []int64        // frames whose file is not there, or not as it was kept
	seals   []Seal
	bundle  *bundle
}

func (x *exporter) write(ctx context.Context, path string, f Filter, m manifest) (err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return hint.New(hint.Usage, errors.New("the file is there already"), "give another name: an export is never written over")
	}
	if err := x.choose(ctx, f); err != nil {
		return err
	}
	var failed error
	err = whole.Create(path, 0o640, func(w io.Writer) error {
		failed = x.fill(ctx, w, m)
		return failed
	})
	if err != nil && failed == nil {
		return hint.New(hint.Failure, err, "give a name that nothing has yet, in a folder that you may write to")
	}
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	x.Bytes = info.Size()
	return nil
}

func (x *exporter) fill(ctx context.Context, w io.Writer, m manifest) error {
	x.bundle = newBundle(w)
	// A running line goes on: what it adds once the head is read stays out, and a removal is in the record before its
	// picture is gone, so that the pictures come first.
	for _, step := range []func(context.Context) error{x.pictures, x.locate, x.chain, x.heatmaps} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	for _, frame := range x.gone {
		x.Missing += 1 - flag(x.removed[frame])
	}
	if err := x.reader.db.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = 'uuid'`).Scan(&m.Record); err != nil {
		return err
	}
	m.Parts, m.Rows = x.Parts, x.Rows
	m.Head = Seal{Record: m.Record, At: m.Created, N: x.head.n, Hash: hex.EncodeToString(x.head.hash[:])}
	return x.bundle.close(m)
}

// choose finds the rows that belong to the parts.
func (x *exporter) choose(ctx context.Context, f Filter) error {
	f.Limit, f.Before = 0, 0
	var first, last time.Time
	lots := map[string]bool{}
	for p, err := range x.reader.Find(ctx, f) {
		if err != nil {
			return err
		}
		x.parts = append(x.parts, p.ID)
		if lots[p.Lot] = true; first.IsZero() || p.At.Before(first) {
			first = p.At
		}
		if p.At.After(last) {
			last = p.At
		}
	}
	if len(x.parts) == 0 {
		return hint.New(hint.NoMatch, errors.New("no part in the record matches"), "'linectl query' with the same conditions shows what does")
	}
	slices.Sort(x.parts)
	x.wanted, x.removed, x.maps, x.Parts = map[[2]int64]bool{}, map[int64]bool{}, map[int64]bool{}, int64(len(x.parts))
	if err := x.belonging(ctx); err != nil {
		return err
	}
	if err := x.ids(ctx, events, `SELECT id FROM event WHERE at BETWEEN ? AND ?`, first.UnixMicro(), last.UnixMicro()); err != nil {
		return err
	}
	for lot := range lots {
		if lot == "" {
			continue
		}
		if err := x.ids(ctx, holds, `SELECT id FROM hold WHERE lot = ?`, lot); err != nil {
			return err
		}
	}
	return nil
}

// belonging adds the rows that name a part, and those that these name.
func (x *exporter) belonging(ctx context.Context) error {
	for slice := range slices.Chunk(x.parts, page) {
		in, args := among(slice)
		for _, id := range slice {
			x.wanted[[2]int64{inspections.kind, id}] = true
		}
		for _, belongs := range []struct {
			table table
			query string
		}{
			{recipes, `SELECT DISTINCT recipe_id FROM inspection WHERE recipe_id IS NOT NULL AND id` + in},
			{recipes, `SELECT DISTINCT recipe_id FROM late WHERE recipe_id IS NOT NULL AND inspection_id` + in},
			{deliveries, `SELECT id FROM delivery WHERE inspection_id` + in},
			{lates, `SELECT id FROM late WHERE inspection_id` + in},
			{frames, `SELECT id FROM frame WHERE inspection_id` + in},
			{reviews, `SELECT id FROM review WHERE inspection_id` + in},
		} {
			if err := x.ids(ctx, belongs.table, belongs.query, args...); err != nil {
				return err
			}
		}
	}
	return nil
}

func among(ids []int64) (in string, args []any) {
	for _, id := range ids {
		args = append(args, id)
	}
	return " IN (" + strings.TrimSuffix(strings.Repeat("?, ", len(ids)), ", ") + ")", args
}

func (x *exporter) ids(ctx context.Context, t table, query string, args ...any) error {
	rows, err := x.reader.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return err
		}
		x.wanted[[2]int64{t.kind, id}] = true
	}
	return rows.Err()
}

// locate reads where the chain ends, and finds the links of the rows. Links are found by their number only, but the
// rows of one kind stand in the chain in the order of their ids, each at least one further than the one before: so the
// search for the next row leaps by as many links as rows are missing, and never goes back.
func (x *exporter) locate(ctx context.Context) (err error) {
	for slice := range slices.Chunk(x.parts, page) {
		in, args := among(slice)
		if err := x.ids(ctx, removals, `SELECT r.id FROM removal r JOIN frame f ON f.id = r.frame_id WHERE f.inspection_id`+in, args...); err != nil {
			return err
		}
	}
	if x.seals, err = x.reader.Seals(ctx); err != nil {
		return err
	}
	var hash []byte
	if err := x.reader.db.QueryRowContext(ctx, `SELECT n, hash FROM link ORDER BY n DESC LIMIT 1`).Scan(&x.head.n, &hash); err != nil {
		return err
	}
	copy(x.head.hash[:], hash)
	byKind := map[int64][]int64{}
	for row := range x.wanted {
		byKind[row[0]] = append(byKind[row[0]], row[1])
	}
	next, err := x.reader.db.PrepareContext(ctx, `SELECT n, row FROM link WHERE n >= ? AND n <= ? AND kind = ? ORDER BY n LIMIT 1`)
	if err != nil {
		return err
	}
	defer next.Close()
	for kind, ids := range byKind {
		slices.Sort(ids)
		var n, row int64
		for _, id := range ids {
			for row < id && err == nil {
				err = next.QueryRowContext(ctx, n+(id-row), x.head.n, kind).Scan(&n, &row)
			}
			if errors.Is(err, sql.ErrNoRows) || err == nil && row > id {
				return hint.New(hint.Damage, fmt.Errorf("%s %d has no link", chained[kind-1].name, id), "'linectl verify' tells what was changed")
			}
			if err != nil {
				return err
			}
			x.places = append(x.places, n)
		}
	}
	slices.Sort(x.places)
	return nil
}

// chain writes the rows where they stand in the chain, with digests in place of those between them: from
// the first row on to the first seal that covers it, or to the newest link where none does yet; and again
// from the next row after that seal.
func (x *exporter) chain(ctx context.Context) error {
	out, err := x.bundle.create(chainName)
	if err != nil {
		return err
	}
	for i := 0; i < len(x.places); {
		end, sealed := x.head, false
		for _, s := range x.seals {
			if s.N >= x.places[i] && s.N <= x.head.n {
				hash, _ := hex.DecodeString(s.Hash)
				end, sealed = link{n: s.N}, true
				copy(end.hash[:], hash)
				x.bundle.seals = append(x.bundle.seals, s)
				break
			}
		}
		from := i
		for i < len(x.places) && x.places[i] <= end.n {
			i++
		}
		if !sealed {
			x.Unsealed += int64(i - from)
		}
		if err := x.stretch(ctx, x.places[from]-1, end, out); err != nil {
			return err
		}
	}
	return nil
}

// stretch writes the links after that numbered before, up to end.
func (x *exporter) stretch(ctx context.Context, before int64, end link, out io.Writer) error {
	lines := json.NewEncoder(out)
	last := link{}
	if before > 0 {
		links, err := x.reader.links(ctx, before, before)
		if err != nil {
			return err
		}
		if len(links) != 1 {
			return errBroken(before)
		}
		last.n = before
		copy(last.hash[:], links[0].hash)
	}
	if err := lines.Encode(chainLine{N: last.n, Hash: last.text()}); err != nil {
		return err
	}
	for from := before + 1; from <= end.n; from += verifyStep {
		links, rows, _, err := x.reader.linked(ctx, from, min(from+verifyStep-1, end.n))
		if err != nil {
			return err
		}
		for _, l := range links {
			values, there := rows[[2]int64{l.kind, l.row}]
			if l.n != last.n+1 || !there {
				return errBroken(last.n + 1)
			}
			t := chained[l.kind-1]
			digest := digestOf(l.n, t, l.row, values)
			if last = last.append(digest); string(last.hash[:]) != string(l.hash) {
				return errBroken(l.n)
			}
			line := chainLine{N: l.n}
			if x.wanted[[2]int64{l.kind, l.row}] {
				line.Table, line.ID, line.Row = t.name, l.row, rowText(t, values)
				x.note(t, l.row, values)
			} else {
				line.Digest = hex.EncodeToString(digest[:])
			}
			if err := lines.Encode(line); err != nil {
				return err
			}
		}
	}
	if last != end {
		return errBroken(end.n)
	}
	return lines.Encode(chainLine{N: end.n, Hash: end.text()})
}

func (x *exporter) note(t table, id int64, values []any) {
	x.Rows++
	column := func(name string) any { return values[slices.Index(t.columns, name)] }
	switch t.kind {
	case removals.kind:
		frame, _ := column("frame_id").(int64)
		x.removed[frame] = true
	case inspections.kind:
		x.maps[id] = x.maps[id] || column("map") != nil
	case lates.kind:
		inspection, _ := column("inspection_id").(int64)
		x.maps[inspection] = x.maps[inspection] || column("map") != nil
	}
}

func (l link) text() string { return hex.EncodeToString(l.hash[:]) }

func errBroken(n int64) error {
	return hint.New(hint.Damage, fmt.Errorf("the chain is broken at link %d: what is exported could not be proved", n), "'linectl verify' tells what was changed")
}

// heatmaps writes those that an exported row proves: that of a late finding may have come since.
func (x *exporter) heatmaps(ctx context.Context) error {
	out, err := x.bundle.create(heatmapsName)
	if err != nil {
		return err
	}
	lines := json.NewEncoder(out)
	for _, id := range x.parts {
		if !x.maps[id] {
			continue
		}
		var h exportHeatmap
		err := x.reader.db.QueryRowContext(ctx, `SELECT inspection_id, width, height, lo, hi, cells FROM heatmap WHERE inspection_id = ?`, id).
			Scan(&h.Inspection, &h.Width, &h.Height, &h.Lo, &h.Hi, &h.Cells)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return err
		}
		if err := lines.Encode(h); err != nil {
			return err
		}
		x.Heatmaps++
	}
	return nil
}

// pictures copies the files as they are.
func (x *exporter) pictures(ctx context.Context) error {
	for _, id := range x.parts {
		rows, err := x.reader.db.QueryContext(ctx, `SELECT id, path, sha256 FROM frame WHERE inspection_id = ? ORDER BY id`, id)
		if err != nil {
			return err
		}
		type file struct {
			frameOf
			sha256 string
		}
		var files []file
		for rows.Next() {
			var f file
			if err := rows.Scan(&f.id, &f.name, &f.sha256); err != nil {
				rows.Close()
				return err
			}
			if x.wanted[[2]int64{frames.kind, f.id}] {
				files = append(files, f)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		for _, f := range files {
			if !filepath.IsLocal(f.name) {
				return hint.New(hint.Damage, fmt.Errorf("the path of a picture leads out of its folder: %s", f.name), "'linectl verify' tells what was changed")
			}
			data, err := Picture{Path: filepath.Join(x.reader.pictures, f.name), SHA256: f.sha256}.Read()
			switch {
			case Lost(err):
				x.gone = append(x.gone, f.id)
			case err != nil:
				return err
			default:
				if err := x.bundle.add(picturesFolder+filepath.ToSlash(f.name), data); err != nil {
					return err
				}
				x.Pictures++
			}
		}
	}
	return nil
}
