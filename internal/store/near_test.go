package store

import (
	"math"
	"testing"

	"linectl/internal/hint"
	"linectl/internal/part"
)

func TestNear(t *testing.T) {
	s := newStore(t)
	add := func(lot string, cells ...float32) int64 {
		r := good(1)
		r.Trigger.Lot = lot
		r.Finding.Map = part.Map{Width: len(cells), Height: 1, Cells: cells}
		return insert(t, s, r)
	}
	nan := float32(math.NaN())
	like := add("a", 0, 0, 5, 1)
	same := add("a", 0, 0, 50, 10) // the same place, ten times as strong
	beside := add("a", 0, 3, 5, nan)
	other := add("b", 5, 0, 0, 0)
	add("a", 1, 1, 1, 1) // nothing stands out
	add("a", 0, 0, 5)    // of another recipe
	none := insert(t, s, rejected(2, part.Deadline))
	ids := func(f Filter) (ids []int64) {
		found, err := s.Near(t.Context(), like, f)
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range found {
			if i > 0 && a.Likeness > found[i-1].Likeness {
				t.Errorf("out of order: %+v", found)
			}
			ids = append(ids, a.ID)
		}
		return ids
	}
	for _, test := range []struct {
		f    Filter
		want []int64
	}{{Filter{}, []int64{same, beside, other}}, {Filter{Limit: 1}, []int64{same}}, {Filter{Lot: "b"}, []int64{other}}} {
		got := ids(test.f)
		if len(got) != len(test.want) {
			t.Errorf("%+v: %v, want %v", test.f, got, test.want)
			continue
		}
		for i := range got {
			if got[i] != test.want[i] {
				t.Errorf("%+v: %v, want %v", test.f, got, test.want)
			}
		}
	}
	found, _ := s.Near(t.Context(), like, Filter{Limit: 1})
	if math.Abs(found[0].Likeness-1) > 1e-3 {
		t.Errorf("the same place has a likeness of %g", found[0].Likeness)
	}
	for _, id := range []int64{none, 999} {
		if _, err := s.Near(t.Context(), id, Filter{}); hint.KindOf(err) != hint.NoMatch {
			t.Errorf("record %d: %v", id, err)
		}
	}
}
