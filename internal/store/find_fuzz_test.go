package store

import (
	"context"
	"path/filepath"
	"testing"

	"linectl/internal/part"
)

// FuzzFilter: whatever is asked for, text is text and never SQL. What has no wildcard finds the part of
// exactly that name; what has some is an answer too, and never an error; and the record is as it was.
func FuzzFilter(f *testing.F) {
	for _, text := range []string{"A17-0042", "' OR 1=1 --", "x'; DROP TABLE inspection; --", "*", "[", "[]", "[^", "a[b-", "%", "_", "?", "\x00", "\xff", `"`, `\`, "A17*", "L9"} {
		f.Add(text, text)
	}
	s := openStore(f, configIn(f.TempDir()))
	f.Cleanup(func() { s.Close() })
	for n := range uint32(3) {
		insert(f, s, good(n))
	}
	insert(f, s, rejected(9, part.Deadline))
	f.Fuzz(func(t *testing.T, id, lot string) {
		count := func(filter Filter) (n int) {
			for p, err := range s.Find(context.Background(), filter) {
				if err != nil {
					t.Fatalf("%+v: %v", filter, err)
				}
				if plainText(filter.Part) && filter.Part != "" && p.PartID != fit(filter.Part) || plainText(filter.Lot) && filter.Lot != "" && p.Lot != fit(filter.Lot) {
					t.Errorf("%q, %q finds %q of %q", filter.Part, filter.Lot, p.PartID, p.Lot)
				}
				n++
			}
			return n
		}
		reject := part.Reject
		all := count(Filter{Part: id}) + count(Filter{Lot: lot}) + count(Filter{Zone: id})
		rejects := count(Filter{Part: id, Lot: lot, Verdict: &reject})
		if both := count(Filter{Part: id, Lot: lot}); both > all || rejects > both || rejects > 1 && id+lot != "" {
			t.Errorf("%q, %q: %d of %d, %d rejects", id, lot, both, all, rejects)
		}
		if _, err := s.Slots(context.Background(), SlotFilter{Lot: lot, Recipe: id, Station: lot}); err != nil {
			t.Error(err)
		}
		if n := count(Filter{}); n != 4 {
			t.Fatalf("%d parts are left", n)
		}
	})
}

func plainText(text string) bool { return textTerm("x", text) == "x = ?" }

// FuzzPicturePath: a row that names a picture outside its folder is told, never followed.
func FuzzPicturePath(f *testing.F) {
	for _, path := range []string{"../../etc/passwd", "/etc/passwd", "a/../../b", "", ".", "2026/11/24/1-top.png", "a\x00b"} {
		f.Add(path)
	}
	folder := f.TempDir()
	v := &verifier{reader: &Reader{pictures: filepath.Join(folder, "pictures")}}
	f.Fuzz(func(t *testing.T, path string) {
		if problem := v.picture(path, 5, ""); problem == "" {
			t.Errorf("%q is said to be there", path)
		}
	})
}
