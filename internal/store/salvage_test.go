package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"linectl/internal/hint"
	"linectl/internal/part"
)

// filled is a record with parts of every kind and returns its file's content, with the log gone into it.
func filled(t *testing.T, parts int) (c Config, content []byte) {
	t.Helper()
	c = configIn(t.TempDir())
	evidence(t, c, nil)
	s := openStore(t, c)
	for n := range uint32(parts) {
		r := withMap(n)
		if n%50 == 0 {
			r.Finding.Map = part.Map{Width: 90, Height: 90, Cells: make([]float32, 8100)} // flows over to further pages
			r.Finding.Map.Cells[n] = 1
		}
		if n%9 == 0 {
			r.Verdict, r.Reason = part.Reject, part.Anomaly
		}
		s.Deliver(insert(t, s, r), written(r.Verdict, r.Reason))
	}
	s.settle(t)
	if _, err := s.db.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	return c, content
}

func salvage(t *testing.T, content []byte) (Salvaged, Config) {
	t.Helper()
	folder := t.TempDir()
	from := filepath.Join(folder, "linectl.db.damaged-20261124T101500")
	if err := os.WriteFile(from, content, 0o400); err != nil {
		t.Fatal(err)
	}
	c := configIn(folder)
	found, err := Salvage(t.Context(), from, c.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(from); err != nil || !bytes.Equal(after, content) {
		t.Errorf("the damaged file was changed: %v", err)
	}
	if left, _ := filepath.Glob(folder + "/*unfinished*"); left != nil {
		t.Errorf("left behind: %v", left)
	}
	return found, c
}

func lost(found Salvaged) (n int64) {
	for _, table := range found.Tables {
		n += table.Lost
	}
	return n
}

// everyRow is every row of evidence as text.
func everyRow(t *testing.T, c Config) map[string]bool {
	t.Helper()
	r, err := OpenReader(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	all := map[string]bool{}
	tables := append(slices.Clone(chained), newTable(0, "link", "kind row hash"), newTable(0, "heatmap", "width height lo hi cells"))
	for _, table := range tables {
		id := map[string]string{"link": "n", "heatmap": "inspection_id"}[table.name]
		if id == "" {
			id = "id"
		}
		found, err := r.db.Query(fmt.Sprintf("SELECT %s, %s FROM %s", id, strings.Join(table.columns, ", "), table.name))
		if err != nil {
			t.Fatal(err)
		}
		for found.Next() {
			values := make([]any, len(table.columns)+1)
			targets := make([]any, len(values))
			for i := range values {
				targets[i] = &values[i]
			}
			if err := found.Scan(targets...); err != nil {
				t.Fatal(err)
			}
			all[fmt.Sprintf("%s %v", table.name, values)] = true
		}
		if err := errors.Join(found.Err(), found.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestSalvageOfAWholeRecordLosesNothing(t *testing.T) {
	c, content := filled(t, 120)
	found, rescued := salvage(t, content)
	if lost(found) != 0 || found.Problems != 0 || found.Cells != 0 || found.Refused != 0 || found.Proved != found.Links {
		t.Errorf("%+v", found)
	}
	want, got := everyRow(t, c), everyRow(t, rescued)
	for row := range want {
		if !got[row] {
			t.Errorf("missing: %.200s", row)
		}
	}
	if len(want) != len(got) {
		t.Errorf("%d rows, want %d", len(got), len(want))
	}
	a, _ := verify(t, c, VerifyOptions{})
	b, _ := verify(t, rescued, VerifyOptions{Alone: true})
	if a.Record != b.Record || a.Head != b.Head || a.Links != b.Links {
		t.Errorf("the chain was %+v and is %+v", a, b)
	}
	r, err := OpenReader(t.Context(), rescued)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	countsFit(t, r)
	if near, err := r.Near(t.Context(), 10, Filter{Limit: 3}, nil); err != nil || len(near) != 3 {
		t.Errorf("%+v, %v", near, err)
	}
}

// Whatever is done to the file: what is left is what was, what is gone is told, and the chain names it.
func TestSalvageOfDamagedRecords(t *testing.T) {
	c, content := filled(t, 300)
	whole := everyRow(t, c)
	random := rand.New(rand.NewPCG(7, 8))
	zero := func(data []byte) {
		for i := range data {
			data[i] = 0
		}
	}
	for name, damage := range map[string]func([]byte) []byte{
		"a zeroed head":       func(data []byte) []byte { zero(data[:100]); return data },
		"a zeroed first page": func(data []byte) []byte { zero(data[:pageSize]); return data },
		"cut":                 func(data []byte) []byte { return data[:len(data)*4/5+333] },
		"every tenth page is gone": func(data []byte) []byte {
			for at := 5 * pageSize; at < len(data); at += 10 * pageSize {
				zero(data[at : at+pageSize])
			}
			return data
		},
		"bits are flipped": func(data []byte) []byte {
			for range 300 {
				data[random.IntN(len(data))] ^= 1 << random.IntN(8)
			}
			return data
		},
		"pages are exchanged": func(data []byte) []byte {
			for range 20 {
				a, b := (2+random.IntN(len(data)/pageSize-2))*pageSize, (2+random.IntN(len(data)/pageSize-2))*pageSize
				kept := slices.Clone(data[a : a+pageSize])
				copy(data[a:], data[b:b+pageSize])
				copy(data[b:], kept)
			}
			return data
		},
	} {
		t.Run(name, func(t *testing.T) {
			found, rescued := salvage(t, damage(slices.Clone(content)))
			got := everyRow(t, rescued)
			var same, other int64
			for row := range got {
				if whole[row] {
					same++
				} else {
					other++ // changed
				}
			}
			v, problems := verify(t, rescued, VerifyOptions{Alone: true})
			t.Logf("%d of %d rows are there as they were, %d changed, %d lost; the chain proves %d of %d and has %d problems", same, len(whole), other, lost(found), found.Proved, found.Links, found.Problems)
			if same < int64(len(whole))/3 {
				t.Errorf("only %d of %d rows", same, len(whole))
			}
			if missing := int64(len(whole)) - same; missing > 0 && (v.Problems == 0 || v.Problems != found.Problems || problems == nil) {
				t.Errorf("%d rows are missing or changed, and the chain has %d problems, told as %d", missing, v.Problems, found.Problems)
			}
			if v.Proved > same {
				t.Errorf("%d rows are proved and only %d are as they were", v.Proved, same)
			}
			// What is counted as lost is what is not there, but for the end of a table where nothing is left that tells of it.
			if want := int64(len(whole)) - int64(len(got)); lost(found) > want || lost(found) < want*9/10 && name != "cut" {
				t.Errorf("%d rows are missing, told as %d", want, lost(found))
			}
			s := openStore(t, rescued) // it can be asked, and even written on
			insert(t, s, good(1))
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// What was committed is in the log until SQLite takes it into the file.
func TestSalvageReadsTheLog(t *testing.T) {
	c := configIn(t.TempDir())
	s := openStore(t, c)
	if _, err := s.db.Exec("PRAGMA wal_autocheckpoint = 0"); err != nil {
		t.Fatal(err)
	}
	for n := range uint32(60) {
		insert(t, s, withMap(n))
	}
	folder := t.TempDir()
	from := filepath.Join(folder, "kept.db")
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(c.Path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(from+suffix, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	found, err := Salvage(t.Context(), from, filepath.Join(folder, "new.db"), nil)
	if err != nil || found.Problems != 0 || lost(found) != 0 || found.Links < 60 {
		t.Errorf("%+v, %v", found, err)
	}
	// A log that is damaged in the middle gives what is before, and says so.
	log, err := os.ReadFile(from + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	log[len(log)/2] ^= 1
	if err := os.WriteFile(from+"-wal", log, 0o600); err != nil {
		t.Fatal(err)
	}
	half, err := Salvage(t.Context(), from, filepath.Join(folder, "half.db"), nil)
	if err != nil || half.Log == 0 || half.Links == 0 || half.Links >= found.Links {
		t.Errorf("%+v, %v", half, err)
	}
}

func TestSalvageRefuses(t *testing.T) {
	folder := t.TempDir()
	c := configIn(folder)
	s := openStore(t, c)
	insert(t, s, good(1))
	text := filepath.Join(folder, "letter.txt")
	if err := os.WriteFile(text, []byte("Dear customer"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ from, to, want string }{
		{c.Path, filepath.Join(folder, "new.db"), "another linectl is writing it"},
		{text, filepath.Join(folder, "new.db"), "there is no row of a record in it"},
		{text, c.Path, "is there already"},
		{filepath.Join(folder, "none"), filepath.Join(folder, "new.db"), "no such file"},
		{folder, filepath.Join(folder, "new.db"), "is a directory"},
	} {
		_, err := Salvage(t.Context(), test.from, test.to, nil)
		if err == nil || !strings.Contains(err.Error(), test.want) || hint.Of(err) == "" {
			t.Errorf("%s to %s: %v", test.from, test.to, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(folder + "/new.db*"); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

// FuzzPages: no content of a page makes reading it fail.
func FuzzPages(f *testing.F) {
	page := make([]byte, 512)
	page[0] = leafOfTable
	binary.BigEndian.PutUint16(page[3:], 1)
	binary.BigEndian.PutUint16(page[8:], 500)
	copy(page[500:], []byte{6, 1, 4, 0, 1, 15, 7, 'x'})
	f.Add(page, []byte{})
	f.Fuzz(func(t *testing.T, page, log []byte) {
		file := filepath.Join(t.TempDir(), "x.db")
		head := make([]byte, 512)
		copy(head, sqliteMagic)
		binary.BigEndian.PutUint16(head[16:], 512)
		data := append(head, page...)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if len(log) > 0 {
			if err := os.WriteFile(file+"-wal", log, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p, err := openPages(file)
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		var damaged int64
		buffer := make([]byte, p.size)
		for n := int64(1); n <= p.whole && n < 100; n++ {
			if p.page(uint32(n), buffer) == nil {
				for c := range p.cells(uint32(n), buffer, &damaged) {
					if len(c.values) > maxPayload {
						t.Error("too many values")
					}
				}
			}
		}
	})
}
