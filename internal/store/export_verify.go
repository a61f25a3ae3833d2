package store

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"linectl/internal/hint"
)

// ExportVerification is what was found in an export.
type ExportVerification struct {
	Record   string `json:"record"` // uuid
	Created  string `json:"created"`
	Parts    int64  `json:"parts"`
	Rows     int64  `json:"rows"`
	Heatmaps int64  `json:"heatmaps"`
	Pictures int64  `json:"pictures"`
	Removed  int64  `json:"removed"` // pictures, by retention
	Seals    int64  `json:"seals"`
	Signed   int64  `json:"signed"`   // seals whose signature was checked
	Unsealed int64  `json:"unsealed"` // rows that no seal in the file covers
	Problems int64  `json:"problems"` // as told to report
}

// lineLimit is the length of a line in an export: text of a row is cut at textLimit, and a heatmap of
// 1024 x 1024 fits.
const lineLimit = 4 << 20

// VerifyExport works out what an export claims, from the file alone; of the options Key and Known count.
// It tells report of each thing that is not as it was written, and goes on. An error means that the file
// could not be read as an export at all.
func VerifyExport(ctx context.Context, path string, o VerifyOptions, report func(problem string)) (ExportVerification, error) {
	archive, err := zip.OpenReader(path)
	if err != nil {
		return ExportVerification{}, hint.New(hint.Damage, fmt.Errorf("verify %s: %w", path, err), "an export is a ZIP file that 'linectl export' has written")
	}
	defer archive.Close()
	v := &exportVerifier{VerifyOptions: o, report: report, files: map[string]*zip.File{}, sums: map[string]string{},
		maps: map[int64]string{}, pictures: map[string]string{}, removed: map[int64]bool{}}
	if err := v.run(ctx, archive.File); err != nil {
		return v.ExportVerification, hint.New(hint.Damage, fmt.Errorf("verify %s: %w", path, err), "ask for the file again: this one was cut off, changed, or is of another version")
	}
	return v.ExportVerification, nil
}

type exportVerifier struct {
	VerifyOptions
	ExportVerification
	report func(string)

	files    map[string]*zip.File
	sums     map[string]string // SHA-256 of the files as they are
	manifest manifest
	seals    []Seal

	maps     map[int64]string  // by inspection: the SHA-256 of its heatmap, in the words of its row
	pictures map[string]string // by name in the file: their SHA-256, in the words of their rows
	frames   []frameOf
	removed  map[int64]bool // frames
}

type frameOf struct {
	id   int64
	name string
}

func (v *exportVerifier) wrong(format string, args ...any) {
	v.Problems++
	v.report(fmt.Sprintf(format, args...))
}

func (v *exportVerifier) run(ctx context.Context, files []*zip.File) error {
	for _, f := range files {
		if v.files[f.Name] != nil {
			return fmt.Errorf("it holds %q twice", f.Name)
		}
		v.files[f.Name] = f
	}
	for _, name := range []string{manifestName, chainName, heatmapsName, sealsName, sumsName} {
		if v.files[name] == nil {
			return fmt.Errorf("it lacks %s", name)
		}
	}
	for _, step := range []func(context.Context) error{v.hashAll, v.readManifest, v.readSeals, v.readChain, v.readHeatmaps} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	v.checkPictures()
	return nil
}

// hashAll compares every file with the list.
func (v *exportVerifier) hashAll(ctx context.Context) error {
	for name, f := range v.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := f.Open()
		if err != nil {
			return err
		}
		h := sha256.New()
		_, err = io.Copy(h, r)
		if err := errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		v.sums[name] = hex.EncodeToString(h.Sum(nil))
	}
	listed := map[string]bool{sumsName: true}
	err := v.lines(sumsName, func(line []byte) error {
		sum, name, ok := strings.Cut(string(line), "  ")
		if !ok {
			return errors.New("it is no list of hashes")
		}
		listed[name] = true
		switch {
		case v.files[name] == nil:
			v.wrong("%s: is gone", name)
		case v.sums[name] != sum:
			v.wrong("%s: changed", name)
		}
		return nil
	})
	for _, name := range sortedNames(v.files) {
		if !listed[name] {
			v.wrong("%s: added", name)
		}
	}
	return err
}

func sortedNames(files map[string]*zip.File) (names []string) {
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// lines calls do with each line of a file.
func (v *exportVerifier) lines(name string, do func(line []byte) error) error {
	r, err := v.files[name].Open()
	if err != nil {
		return err
	}
	defer r.Close()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, lineLimit)
	for n := 1; lines.Scan(); n++ {
		if err := do(lines.Bytes()); err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (v *exportVerifier) readManifest(context.Context) error {
	r, err := v.files[manifestName].Open()
	if err != nil {
		return err
	}
	defer r.Close()
	if err := json.NewDecoder(io.LimitReader(r, lineLimit)).Decode(&v.manifest); err != nil {
		return fmt.Errorf("%s: %w", manifestName, err)
	}
	if v.manifest.Format != exportFormat {
		return fmt.Errorf("its format is %q; this linectl knows %q", v.manifest.Format, exportFormat)
	}
	v.Record, v.Created = v.manifest.Record, v.manifest.Created.Format("2006-01-02T15:04:05Z07:00")
	return nil
}

func (v *exportVerifier) readSeals(context.Context) error {
	return v.lines(sealsName, func(line []byte) error {
		var s Seal
		if err := json.Unmarshal(line, &s); err != nil {
			return err
		}
		day := s.At.Format("2006-01-02")
		if s.Record != v.Record {
			v.wrong("the seal of %s is of another record, %s", day, s.Record)
		}
		same := func(known Seal) bool { return known.Record == s.Record && known.N == s.N && known.Hash == s.Hash }
		if len(v.Known) > 0 && !slices.ContainsFunc(v.Known, same) {
			v.wrong("the seal of %s is not among those that were kept elsewhere", day)
		}
		if v.Key != nil {
			switch {
			case len(s.Signature) == 0:
				v.wrong("the seal of %s is not signed", day)
			case !ed25519.Verify(v.Key, s.text(), s.Signature):
				v.wrong("the signature of the seal of %s is not of this key, or the seal was changed", day)
			default:
				v.Signed++
			}
		}
		v.Seals++
		v.seals = append(v.seals, s)
		return nil
	})
}

// readChain walks the stretches of the chain. Each must lead from its first hash to one that a seal names,
// or to the newest of the record.
func (v *exportVerifier) readChain(context.Context) error {
	var last link
	inside, rows := false, int64(0) // of the present stretch
	err := v.lines(chainName, func(text []byte) error {
		var line chainLine
		if err := json.Unmarshal(text, &line); err != nil {
			return err
		}
		if line.Hash != "" {
			at := link{n: line.N}
			if n, err := hex.Decode(at.hash[:], []byte(line.Hash)[:min(len(line.Hash), 64)]); err != nil || n != 32 || len(line.Hash) != 64 {
				return errors.New("a hash is 64 hex digits")
			}
			if !inside {
				if at.n < last.n || at.n == 0 && at != (link{}) {
					v.wrong("the stretch after link %d: is out of order, or begins with a hash that is none", at.n)
				}
				inside, last, rows = true, at, 0
				return nil
			}
			v.endStretch(last, at, rows)
			inside, last = false, at
			return nil
		}
		if !inside || line.N != last.n+1 {
			v.wrong("link %d: cut out", last.n+1)
			inside, last.n = true, line.N-1
		}
		digest, err := v.digest(line)
		if err != nil {
			return err
		}
		if line.Table != "" {
			rows++
		}
		last = last.append(digest)
		return nil
	})
	if err != nil {
		return err
	}
	if inside {
		v.wrong("links from %d on: cut off", last.n+1)
	}
	if v.Rows != v.manifest.Rows || v.Parts != v.manifest.Parts {
		v.wrong("%d parts and %d rows are here; %d and %d were exported", v.Parts, v.Rows, v.manifest.Parts, v.manifest.Rows)
	}
	return nil
}

func (v *exportVerifier) endStretch(last, claimed link, rows int64) {
	if last != claimed {
		v.wrong("links up to %d: a row among them was changed, added or moved", claimed.n)
	}
	for _, s := range v.seals {
		if s.N == claimed.n {
			if s.Hash != last.text() {
				v.wrong("the seal of %s: does not fit link %d", s.At.Format("2006-01-02"), claimed.n)
			}
			return
		}
	}
	v.Unsealed += rows
	if head := v.manifest.Head; head.N != claimed.n || head.Hash != last.text() {
		v.wrong("links up to %d: no seal covers them", claimed.n)
	}
}

// digest is that of a line; a row is worked out from its values, and noted.
func (v *exportVerifier) digest(line chainLine) (digest [sha256.Size]byte, err error) {
	if line.Table == "" {
		if n, err := hex.Decode(digest[:], []byte(line.Digest)[:min(len(line.Digest), 64)]); err != nil || n != 32 || len(line.Digest) != 64 {
			return digest, errors.New("a digest is 64 hex digits")
		}
		return digest, nil
	}
	i := slices.IndexFunc(chained, func(t table) bool { return t.name == line.Table })
	if i < 0 {
		return digest, fmt.Errorf("there is no table %q", line.Table)
	}
	values, err := rowValues(chained[i], line.Row)
	if err != nil {
		return digest, fmt.Errorf("%s %d: %w", line.Table, line.ID, err)
	}
	v.note(chained[i], line.ID, values)
	return digestOf(line.N, chained[i], line.ID, values), nil
}

func (v *exportVerifier) note(t table, id int64, values []any) {
	v.Rows++
	column := func(name string) any { return values[slices.Index(t.columns, name)] }
	switch t.kind {
	case inspections.kind:
		v.Parts++
		if sum, ok := column("map").([]byte); ok {
			v.maps[id] = string(sum)
		}
	case lates.kind:
		inspection, _ := column("inspection_id").(int64)
		if sum, ok := column("map").([]byte); ok {
			v.maps[inspection] = string(sum)
		}
	case frames.kind:
		path, _ := column("path").(string)
		sum, _ := column("sha256").(string)
		v.pictures[picturesFolder+path] = sum
		v.frames = append(v.frames, frameOf{id, picturesFolder + path})
	case removals.kind:
		frame, _ := column("frame_id").(int64)
		v.removed[frame] = true
	}
}

func (v *exportVerifier) readHeatmaps(context.Context) error {
	err := v.lines(heatmapsName, func(text []byte) error {
		var h exportHeatmap
		if err := json.Unmarshal(text, &h); err != nil {
			return err
		}
		want, known := v.maps[h.Inspection]
		made, _ := (&grid{width: h.Width, height: h.Height, lo: h.Lo, hi: h.Hi, cells: h.Cells}).hash().([]byte)
		switch {
		case !known:
			v.wrong("heatmap %d: added", h.Inspection)
		case !bytes.Equal(made, []byte(want)):
			v.wrong("heatmap %d: changed", h.Inspection)
		default:
			v.Heatmaps++
		}
		delete(v.maps, h.Inspection)
		return nil
	})
	for id := range v.maps {
		v.wrong("heatmap %d: cut out", id)
	}
	return err
}

func (v *exportVerifier) checkPictures() {
	for _, f := range v.frames {
		switch sum, there := v.sums[f.name]; {
		case there && sum == v.pictures[f.name]:
			v.Pictures++
		case there:
			v.wrong("%s: is not the picture of its row", f.name)
		case v.removed[f.id]:
			v.Removed++
		default:
			v.wrong("%s: is gone", f.name)
		}
	}
	for _, name := range sortedNames(v.files) {
		if _, known := v.pictures[name]; strings.HasPrefix(name, picturesFolder) && !known {
			v.wrong("%s: no row names it", name)
		}
	}
}
