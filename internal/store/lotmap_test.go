package store

import (
	"math"
	"testing"

	"linectl/internal/part"
)

func TestAccumulate(t *testing.T) {
	s := newStore(t)
	nan := float32(math.NaN())
	for n, cells := range [][]float32{{0, 1, 2, nan}, {4, 1, 0, nan}, {2, 1, 1, 3}} {
		r := good(uint32(n))
		r.Finding.Map = part.Map{Width: 2, Height: 2, Cells: cells}
		r.Finding.Threshold = 2 + float64(n)
		insert(t, s, r)
		other := good(uint32(10 + n))
		other.Trigger.Lot = "other"
		insert(t, s, other)
	}
	c, err := s.Accumulate(t.Context(), Filter{Lot: "L9"})
	if err != nil || c.Parts != 3 || c.Others != 0 {
		t.Fatalf("%+v, %v", c, err)
	}
	for i, want := range []struct{ mean, most float64 }{{11. / 18, 4. / 3}, {13. / 36, 0.5}, {5. / 12, 1}, {0.75, 0.75}} {
		if math.Abs(float64(c.Mean.Cells[i])-want.mean) > 1e-4 || math.Abs(float64(c.Max.Cells[i])-want.most) > 1e-4 {
			t.Errorf("cell %d is %g, %g; want %+v", i, c.Mean.Cells[i], c.Max.Cells[i], want)
		}
	}
	if c, err := s.Accumulate(t.Context(), Filter{}); err != nil || c.Parts+c.Others != 6 || c.Others != 3 {
		t.Errorf("all: %+v, %v", c, err)
	}
	if c, err := s.Accumulate(t.Context(), Filter{Lot: "none"}); err != nil || c.Parts != 0 {
		t.Errorf("none: %+v, %v", c, err)
	}
}
