package store

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Verification is what a walk over the whole chain has found.
type Verification struct {
	Record   string `json:"record"` // uuid
	Links    int64  `json:"links"`
	Head     string `json:"head"`   // hash of the newest link
	Proved   int64  `json:"proved"` // rows that their links prove
	Parts    int64  `json:"parts"`
	Seals    int64  `json:"seals"`
	Signed   int64  `json:"signed"` // seals whose signature was checked
	Pictures int64  `json:"pictures"`
	Removed  int64  `json:"removed"`  // pictures, by retention
	Lost     int64  `json:"lost"`     // pictures that are gone or changed: so many of the problems
	Counts   int64  `json:"counts"`   // counts and rejects that are not those of the rows: so many of the problems
	Problems int64  `json:"problems"` // as told to report
}

// VerifyOptions say what is compared beside the chain itself.
type VerifyOptions struct {
	Read     bool              // read every picture and compare its hash; else only see that it is there, with its size
	Alone    bool              // do not look at pictures at all
	Key      ed25519.PublicKey // check the signatures of the seals
	Known    []Seal            // seals that were kept elsewhere
	Progress func(done, total int64)
}

// Verify recomputes the chain from the rows. It tells report of each row that was changed, added, cut
// off or moved, and goes on. It works beside a running daemon: what comes while it runs is left out.
func (r *Reader) Verify(ctx context.Context, o VerifyOptions, report func(problem string)) (Verification, error) {
	v := &verifier{reader: r, VerifyOptions: o, report: report}
	if err := v.run(ctx); err != nil {
		return v.Verification, fmt.Errorf("verify the record: %w", r.explain(err))
	}
	return v.Verification, nil
}

type verifier struct {
	reader *Reader
	VerifyOptions
	Verification
	report func(string)

	last    link
	newest  []int64 // by kind: the newest id when the walk began
	seen    []int64 // by kind: the newest id that a link has named
	removed map[int64]bool
	absent  map[int64]string // pictures that are not there, or not as they were, by frame
}

func (v *verifier) wrong(format string, args ...any) {
	v.Problems++
	v.report(fmt.Sprintf(format, args...))
}

func (v *verifier) run(ctx context.Context) error {
	v.newest, v.seen = make([]int64, len(chained)+1), make([]int64, len(chained)+1)
	v.removed, v.absent = map[int64]bool{}, map[int64]string{}
	if err := v.begin(ctx); err != nil {
		return err
	}
	if err := v.walk(ctx); err != nil {
		return err
	}
	for i, t := range chained {
		kind := i + 1
		if v.seen[kind] < v.newest[kind] {
			v.wrong("%s %s: no link names it: added, or its link was cut off", t.name, span(v.seen[kind]+1, v.newest[kind]))
		}
	}
	if err := v.missing(ctx); err != nil {
		return err
	}
	before := v.Problems
	if err := v.counts(ctx); err != nil {
		return err
	}
	v.Counts = v.Problems - before
	v.Head = hex.EncodeToString(v.last.hash[:])
	for _, s := range v.Known {
		switch {
		case s.Record != v.Record:
			v.wrong("the seal of %s is of another record, %s", s.At.Format("2006-01-02"), s.Record)
		case s.N > v.Links:
			v.wrong("links %s have been cut off: the seal of %s covers them", span(v.Links+1, s.N), s.At.Format("2006-01-02"))
		}
	}
	return nil
}

// missing tells which pictures should be there. Retention notes a removal before it removes: of one that is gone the
// record says so, if it was removed while the walk went on.
func (v *verifier) missing(ctx context.Context) error {
	for _, id := range slices.Sorted(maps.Keys(v.absent)) {
		removed := v.removed[id]
		if !removed {
			var err error
			if removed, err = v.reader.removedSince(ctx, id, v.newest[removals.kind]); err != nil {
				return err
			}
		}
		if removed {
			v.Removed++
			continue
		}
		v.Lost++
		v.wrong("%s", v.absent[id])
	}
	return nil
}

// removedSince tells whether the picture of a frame was removed by a later removal than that.
func (r *Reader) removedSince(ctx context.Context, frame, removal int64) (removed bool, err error) {
	err = r.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM removal WHERE frame_id = ? AND id > ?)`, frame, removal).Scan(&removed)
	return removed, err
}

func span(from, to int64) string {
	if from == to {
		return fmt.Sprint(from)
	}
	return fmt.Sprintf("%d to %d", from, to)
}

// begin notes one moment of the record: how long the chain is, and how many rows there are.
func (v *verifier) begin(ctx context.Context) error {
	tx, err := v.reader.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := tx.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = 'uuid'`).Scan(&v.Record); err != nil {
		return err
	}
	var oldest, made int64
	if err := tx.QueryRowContext(ctx, `SELECT coalesce(min(n), 1), coalesce(max(n), 0), coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'link'), 0) FROM link`).Scan(&oldest, &v.Links, &made); err != nil {
		return err
	}
	if oldest < 1 {
		v.wrong("link %d stands before the first: added", oldest)
	}
	if made > v.Links {
		v.wrong("link %s: cut off the end", span(v.Links+1, made))
	}
	for i, t := range chained {
		var first, rows int64
		if err := tx.QueryRowContext(ctx, fmt.Sprintf(`SELECT coalesce((SELECT min(id) FROM %[1]s), 1), coalesce((SELECT max(id) FROM %[1]s), 0)`, t.name)).Scan(&first, &rows); err != nil {
			return err
		}
		if first < 1 {
			v.wrong("%s %d stands before the first: added", t.name, first)
		}
		v.newest[i+1] = rows
	}
	return nil
}

// walk judges the steps of the chain in their order, while those that follow are read.
func (v *verifier) walk(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for read := range v.reader.steps(ctx, v.Links) {
		s := <-read
		if s.err != nil {
			return s.err
		}
		v.step(s)
		if v.Progress != nil {
			v.Progress(s.to, v.Links)
		}
	}
	return ctx.Err()
}

func (v *verifier) step(s step) {
	next := s.from
	for _, l := range s.links {
		if l.n > next {
			v.wrong("link %s: cut out", span(next, l.n-1))
		}
		v.judge(l, s.rows)
		next = l.n + 1
	}
	if next <= s.to {
		v.wrong("link %s: cut out", span(next, s.to))
	}
	for _, h := range s.heatmaps {
		switch {
		case h.want == nil && h.there:
			v.wrong("heatmap %d: added", h.id)
		case h.want != nil && !h.there:
			v.wrong("heatmap %d: cut out", h.id)
		case h.want != nil && string(h.made) != string(h.want):
			v.wrong("heatmap %d: changed", h.id)
		}
	}
}

// judge compares a link with its row.
func (v *verifier) judge(l linkRow, rows map[[2]int64][]any) {
	before, gap := v.last, v.last.n != l.n-1
	before.n = l.n - 1
	v.last = link{n: l.n}
	copy(v.last.hash[:], l.hash) // one change is told once: the walk goes on from what stands there
	if l.kind < 1 || int(l.kind) > len(chained) {
		v.wrong("link %d: changed: there is no kind %d", l.n, l.kind)
		return
	}
	t := chained[l.kind-1]
	if expected := v.seen[l.kind] + 1; l.row > expected {
		v.wrong("%s %s: its link was cut out, or moved", t.name, span(expected, l.row-1))
	} else if l.row < expected {
		v.wrong("%s %d: link %d names it again, or was moved", t.name, l.row, l.n)
	}
	v.seen[l.kind] = max(v.seen[l.kind], l.row)
	values, there := rows[[2]int64{l.kind, l.row}]
	if !there {
		v.wrong("%s %d: cut out (link %d)", t.name, l.row, l.n)
		return
	}
	switch made := before.next(t, l.row, values); {
	case made.hash == v.last.hash:
		v.Proved++
	case gap:
		v.wrong("%s %d: cannot be proved, as the link before it is gone (link %d)", t.name, l.row, l.n)
	default:
		v.wrong("%s %d: changed or moved (link %d)", t.name, l.row, l.n)
	}
	v.note(t, l, before, values)
}

// note takes from a row what else there is to compare.
func (v *verifier) note(t table, l linkRow, before link, values []any) {
	for _, known := range v.Known {
		if known.N == l.n && known.Record == v.Record && known.Hash != hex.EncodeToString(l.hash) {
			v.wrong("link %d is not the one that the seal of %s covers: rows up to it have been changed since", l.n, known.At.Format("2006-01-02"))
		}
	}
	switch t.kind {
	case inspections.kind:
		v.Parts++
	case seals.kind:
		v.Seals++
		v.sealed(l, before, values)
	case removals.kind:
		id, _ := values[1].(int64)
		v.removed[id] = true
	case frames.kind:
		if v.Alone {
			return
		}
		v.Pictures++
		path, _ := values[6].(string)
		size, _ := values[7].(int64)
		sum, _ := values[8].(string)
		if problem := v.picture(path, size, sum); problem != "" {
			v.absent[l.row] = fmt.Sprintf("frame %d: picture %s: %s", l.row, path, problem)
		}
	}
}

func (v *verifier) sealed(l linkRow, before link, values []any) {
	at, _ := values[0].(int64)
	n, _ := values[1].(int64)
	hash, _ := values[2].([]byte)
	signature, _ := values[3].([]byte)
	s := Seal{Record: v.Record, At: instant(at), N: n, Hash: hex.EncodeToString(hash)}
	if n != before.n || s.Hash != hex.EncodeToString(before.hash[:]) {
		v.wrong("seal %d: does not fit link %d before it", l.row, before.n)
	}
	if v.Key == nil {
		return
	}
	switch {
	case len(signature) == 0:
		v.wrong("seal %d: is not signed", l.row)
	case !ed25519.Verify(v.Key, s.text(), signature):
		v.wrong("seal %d: the signature is not of this key, or the seal was changed", l.row)
	default:
		v.Signed++
	}
}

// picture says what is wrong with a picture file.
func (v *verifier) picture(path string, size int64, sum string) string {
	if !filepath.IsLocal(path) {
		return "its path leads out of the folder of pictures"
	}
	path = filepath.Join(v.reader.pictures, path)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errGone.Error()
	case err != nil:
		return err.Error()
	case info.Size() != size:
		return fmt.Sprintf("has %d bytes, not %d", info.Size(), size)
	case !v.Read:
		return ""
	}
	if _, err := (Picture{Path: path, SHA256: sum}).Read(); err != nil {
		return err.Error()
	}
	return ""
}
