package store

import (
	"math"
	"math/rand/v2"
	"testing"

	"linectl/internal/part"
)

func TestHeatmapIsKeptWithinHalfAStep(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		m := part.Map{Width: 1 + random.IntN(40), Height: 1 + random.IntN(40)}
		scale := math.Pow(10, float64(random.IntN(60)-30))
		offset := scale * (random.Float64() - 0.5) * 10
		for range m.Width * m.Height {
			m.Cells = append(m.Cells, float32(offset+scale*random.NormFloat64()))
		}
		if random.IntN(4) == 0 {
			for i := range m.Cells {
				m.Cells[i] = m.Cells[0]
			}
		}
		lo, hi, cells := encodeMap(m)
		got, err := decodeMap(m.Width, m.Height, lo, hi, cells)
		if err != nil {
			t.Fatal(err)
		}
		bound := (hi-lo)/131068 + max(math.Abs(lo), math.Abs(hi))*1e-7 // half a step, and what float32 rounds
		for i, cell := range m.Cells {
			if d := math.Abs(float64(cell) - float64(got.Cells[i])); !(d <= bound) {
				t.Fatalf("cell %d is off by %g, more than %g: %g came back as %g", i, d, bound, cell, got.Cells[i])
			}
		}
	}
}

func TestHeatmapOfExtremes(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, cells := range [][]float32{
		{nan, nan}, {inf, -inf}, {nan, 3}, {0, 0}, {math.MaxFloat32, -math.MaxFloat32}, {math.SmallestNonzeroFloat32, 0},
	} {
		lo, hi, data := encodeMap(part.Map{Width: 2, Height: 1, Cells: cells})
		got, err := decodeMap(2, 1, lo, hi, data)
		if err != nil {
			t.Fatal(err)
		}
		for i, cell := range cells {
			want := cell
			if cell == inf || cell == -inf {
				want = nan
			}
			if !same(float64(want), float64(got.Cells[i])) {
				t.Errorf("%v came back as %v", cells, got.Cells)
			}
		}
	}
}

func FuzzDecodeHeatmap(f *testing.F) {
	f.Add(2, 1, 0.0, 1.0, []byte{0, 0, 255, 255})
	f.Add(0, 0, 0.0, 0.0, []byte{})
	f.Add(math.MaxInt, 2, 0.0, 1.0, []byte{1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, width, height int, lo, hi float64, cells []byte) {
		m, err := decodeMap(width, height, lo, hi, cells)
		if err == nil && (len(m.Cells) != width*height || 2*len(m.Cells) != len(cells)) {
			t.Fatalf("%d x %d gave %d cells of %d bytes", width, height, len(m.Cells), len(cells))
		}
	})
}
