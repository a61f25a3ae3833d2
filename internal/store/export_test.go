package store

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"linectl/internal/hint"
	"linectl/internal/part"
)

// exportOf exports the parts that match.
func exportOf(t testing.TB, c Config, f Filter) (string, Exported) {
	t.Helper()
	r, err := OpenReader(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	path := filepath.Join(t.TempDir(), "lot.zip")
	made, err := r.Export(context.Background(), path, f, "test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return path, made
}

func verifyExport(t testing.TB, path string, o VerifyOptions) (ExportVerification, []string, error) {
	t.Helper()
	var problems []string
	v, err := VerifyExport(context.Background(), path, o, func(p string) { problems = append(problems, p) })
	return v, problems, err
}

// manyLots is a record with a row of every kind, in which the parts of lot L1 stand among others, over
// three days, with hostile text.
func manyLots(t *testing.T, c Config, key ed25519.PrivateKey) []Seal {
	t.Helper()
	evidence(t, c, key)
	p, err := OpenPen(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Review(t.Context(), 7, Opinion{Verdict: ReviewGood, Who: "eva \xff", Why: "<water> & \x00 \u2028"}); err != nil {
		t.Fatal(err)
	}
	if err := p.Hold(t.Context(), "L9", true, "eva", "why"); err != nil {
		t.Fatal(err)
	}
	p.Close()
	s := openStore(t, c)
	s.seals.key = key
	for n := range uint32(5) {
		r := good(20 + n)
		r.Trigger.Lot = "other"
		r.Finding.Score = math.Pi * float64(n)
		s.Deliver(insert(t, s, r), written(part.Pass, part.None))
	}
	s.settle(t)
	s.seals.now = func() time.Time { return time.Now().AddDate(0, 0, 5) }
	s.KeepPicture(insert(t, s, good(99)), frame(4, 4, 9), part.Reject)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := OpenReader(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	seals, err := r.Seals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return seals
}

func TestAnExportVerifiesAnywhere(t *testing.T) {
	c := configIn(t.TempDir())
	public, key, _ := ed25519.GenerateKey(nil)
	seals := manyLots(t, c, key)
	for _, f := range []Filter{{Lot: "L9"}, {Lot: "other"}, {Part: "part 0"}, {Since: noon}} {
		path, made := exportOf(t, c, f)
		moved := filepath.Join(t.TempDir(), "elsewhere.zip")
		if err := os.Rename(path, moved); err != nil {
			t.Fatal(err)
		}
		v, problems, err := verifyExport(t, moved, VerifyOptions{Key: public, Known: seals})
		if err != nil || problems != nil || v.Parts != made.Parts || v.Rows != made.Rows || v.Pictures != made.Pictures || v.Signed != v.Seals || v.Heatmaps != made.Heatmaps {
			t.Errorf("%+v: %+v, %v, %v; made %+v", f, v, problems, err, made)
		}
		if f.Lot == "L9" && (v.Parts != 8 || v.Pictures != 2 || v.Unsealed == 0 || v.Seals != 3) {
			t.Errorf("%+v", v)
		}
		// Who knows nothing of this program comes to the same.
		out, err := exec.Command("python3", "../../docs/tools/check_export.py", moved).CombinedOutput()
		if want := fmt.Sprintf("%d parts, %d rows, %d pictures: as they were written\n", v.Parts, v.Rows, v.Pictures); err != nil || string(out) != want {
			t.Errorf("%+v: %v: %s; want %s", f, err, out, want)
		}
	}
	_, problems, _ := verifyExport(t, func() string { p, _ := exportOf(t, c, Filter{Lot: "L9"}); return p }(), VerifyOptions{Known: seals[:1]})
	if len(problems) != 2 || !strings.Contains(problems[0], "is not among those that were kept elsewhere") {
		t.Errorf("problems: %v", problems)
	}
}

// The line adds parts, late findings and pictures, and retention removes some, while the parts of the lot are exported
// and the record is verified.
func TestBesideTheLineRecordAndExportVerify(t *testing.T) {
	c := configIn(t.TempDir())
	c.Keep = KeepAll
	s := openStore(t, c)
	defer s.Close()
	var group sync.WaitGroup
	defer group.Wait()
	// So many parts come in each round: a record that grew as long as a round takes would make each round longer than the
	// one before.
	parts := make(chan uint32, 40)
	defer close(parts)
	next := uint32(0)
	bring := func() {
		for range cap(parts) - len(parts) {
			next++
			parts <- next
		}
	}
	group.Go(func() {
		small := c
		small.Quota = 2000 // bytes
		for n := range parts {
			id := insert(t, s, rejected(n, part.Deadline))
			s.Late(id, *good(n).Finding)
			s.KeepPicture(insert(t, s, good(n)), frame(8, 8, int(n)), part.Pass)
			if n%20 == 0 {
				if _, err := prune(context.Background(), s.Reader, small, s.commit, false); err != nil {
					t.Error(err)
				}
			}
		}
	})
	bring()
	waitFor(t, func() bool { return rows(t, s, "removal") > 0 })
	for range 20 {
		bring()
		path, made := exportOf(t, c, Filter{Lot: "L9"})
		v, problems, err := verifyExport(t, path, VerifyOptions{})
		if err != nil || problems != nil || made.Missing != 0 || v.Pictures+v.Removed == 0 {
			t.Fatalf("%+v, %+v: %v, %q", made, v, err, problems[:min(len(problems), 5)])
		}
		if _, problems := verify(t, c, VerifyOptions{}); problems != nil {
			t.Fatalf("verify: %q", problems[:min(len(problems), 5)])
		}
	}
}

// rewritten is the export with its files changed, and with a list of hashes that fits: only the chain can tell.
func rewritten(t *testing.T, path string, change func(name string, data []byte) []byte) string {
	t.Helper()
	from, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	var out bytes.Buffer
	b := newBundle(&out)
	for _, f := range from.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if f.Name == sumsName {
			b.end()
			data = b.sums.Bytes()
		}
		if data = change(f.Name, data); data != nil {
			if err := b.add(f.Name, data); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := b.zip.Close(); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "changed.zip")
	if err := os.WriteFile(to, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestAChangedExportIsFoundOut(t *testing.T) {
	c := configIn(t.TempDir())
	_, key, _ := ed25519.GenerateKey(nil)
	manyLots(t, c, key)
	path, _ := exportOf(t, c, Filter{Lot: "L9"})
	in := func(file, from, to string) func(string, []byte) []byte {
		return func(name string, data []byte) []byte {
			if name != file {
				return data
			}
			if !bytes.Contains(data, []byte(from)) {
				t.Errorf("%s has no %s", file, from)
			}
			return bytes.Replace(data, []byte(from), []byte(to), 1)
		}
	}
	without := func(file string, has string) func(string, []byte) []byte {
		return func(name string, data []byte) []byte {
			if name != file {
				return data
			}
			var kept [][]byte
			cut := false
			for line := range bytes.Lines(data) {
				if !cut && bytes.Contains(line, []byte(has)) {
					cut = true
					continue
				}
				kept = append(kept, line)
			}
			return bytes.Join(kept, nil)
		}
	}
	for _, test := range []struct {
		name, want string
		change     func(string, []byte) []byte
	}{
		{"a score", "a row among them was changed", in(chainName, `"score":1.25`, `"score":1.26`)},
		{"a verdict", "a row among them was changed", in(chainName, `"verdict":"reject","reason":"deadline"`, `"verdict":"pass","reason":""`)},
		{"an integer becomes a real", "a row among them was changed", in(chainName, `"missed":0`, `"missed":0.0`)},
		{"a row cut out", "link ", without(chainName, `"table":"delivery"`)},
		{"a heatmap", "heatmap 1: changed", in(heatmapsName, `"width":3,"height":2`, `"width":2,"height":3`)},
		{"a heatmap cut out", "heatmap 1: cut out", without(heatmapsName, `"inspection_id":1,`)},
		{"a seal", "no seal covers them", without(sealsName, `"record"`)},
		{"another record", "is of another record", in(manifestName, `"record": "`, `"record": "0`)},
		{"a picture", ": is not the picture of its row", func(name string, data []byte) []byte {
			if strings.HasPrefix(name, picturesFolder) {
				data = append(data, 0)
			}
			return data
		}},
		{"a picture taken away", ": is gone", func(name string, data []byte) []byte {
			if strings.HasPrefix(name, picturesFolder) {
				return nil
			}
			return data
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			changed := rewritten(t, path, test.change)
			v, problems, err := verifyExport(t, changed, VerifyOptions{})
			if err != nil || v.Problems == 0 || !strings.Contains(strings.Join(problems, "\n"), test.want) {
				t.Errorf("%v, %v; want %s", problems, err, test.want)
			}
			if out, err := exec.Command("python3", "../../docs/tools/check_export.py", changed).CombinedOutput(); err == nil && test.name != "another record" {
				t.Errorf("the checker says %s", out)
			}
		})
	}
	// Without the list of hashes being made to fit, the list tells.
	data, _ := os.ReadFile(path)
	for _, test := range []struct {
		name, want string
		data       []byte
	}{
		{"cut off", "zip: not a valid zip file", data[:len(data)-100]},
		{"no archive", "zip: not a valid zip file", []byte("hello")},
	} {
		bad := filepath.Join(t.TempDir(), "bad.zip")
		if err := os.WriteFile(bad, test.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := verifyExport(t, bad, VerifyOptions{}); err == nil || !strings.Contains(err.Error(), test.want) || hint.KindOf(err) != hint.Damage {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if _, _, err := verifyExport(t, rewritten(t, path, in(manifestName, exportFormat, "linectl export 2")), VerifyOptions{}); err == nil || !strings.Contains(err.Error(), `its format is "linectl export 2"`) {
		t.Errorf("another format: %v", err)
	}
}

func TestExportRefuses(t *testing.T) {
	c := configIn(t.TempDir())
	evidence(t, c, nil)
	r, err := OpenReader(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	folder := t.TempDir()
	there := filepath.Join(folder, "there.zip")
	if err := os.WriteFile(there, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Export(t.Context(), there, Filter{Lot: "L9"}, "", time.Now()); err == nil || hint.KindOf(err) != hint.Usage {
		t.Errorf("over a file: %v", err)
	}
	if _, err := r.Export(t.Context(), filepath.Join(folder, "x.zip"), Filter{Lot: "none"}, "", time.Now()); hint.KindOf(err) != hint.NoMatch {
		t.Errorf("nothing: %v", err)
	}
	tamper(t, c.Path, `UPDATE inspection SET score = 0 WHERE id = 2`)
	if _, err := r.Export(t.Context(), filepath.Join(folder, "y.zip"), Filter{Lot: "L9"}, "", time.Now()); hint.KindOf(err) != hint.Damage || !strings.Contains(err.Error(), "the chain is broken at link") {
		t.Errorf("a changed record: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(folder, "*")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if left, _ := filepath.Glob(filepath.Join(folder, ".*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// FuzzRowText: what is read back is what was written, and nothing hostile is read at all.
func FuzzRowText(f *testing.F) {
	f.Add("text", []byte{1}, int64(-5), 1.5)
	f.Add("\xff\x00\u2028", []byte(nil), int64(math.MinInt64), 1e300)
	f.Add("", []byte("x"), int64(1), 120.0)
	f.Fuzz(func(t *testing.T, text string, blob []byte, whole int64, real float64) {
		table := newTable(0, "x", "text blob whole real none")
		if blob == nil {
			blob = []byte{}
		}
		if math.IsNaN(real) || math.IsInf(real, 0) {
			real = 0
		}
		want := []any{text, blob, whole, real, nil}
		written := rowText(table, want)
		got, err := rowValues(table, written)
		if err != nil || !json.Valid(written) || digestOf(1, table, 1, got) != digestOf(1, table, 1, want) {
			t.Errorf("%s: %v, %v", written, got, err)
		}
		_, _ = rowValues(table, []byte(text)) // hostile: an error or values, never a panic
	})
}
