package smooth

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestMaxMeanByHand holds the mean to figures worked out by hand: inside, at an edge, in a corner, in a zone.
func TestMaxMeanByHand(t *testing.T) {
	spot := func(at int) []float32 { // on a grid of 4 x 3
		cells := make([]float32, 12)
		cells[at] = 36
		return cells
	}
	left := func(cell int) bool { return cell%4 == 0 }
	for _, c := range []struct {
		what  string
		cells []float32
		in    func(int) bool
		want  float64
	}{
		{"inside, seen best from the corner, which has four neighbours", spot(5), nil, 9},
		{"corner", spot(0), nil, 9},
		{"edge", spot(1), nil, 9},
		{"a column of three, in it", spot(0), left, 18},
		{"beside the zone", spot(5), left, 0},
		{"no zone at all", spot(5), func(int) bool { return false }, 0},
	} {
		if got := MaxMean(c.cells, 4, 3, c.in); got != c.want {
			t.Errorf("%s: %g, want %g", c.what, got, c.want)
		}
	}
	if got := MaxMean([]float32{7}, 1, 1, nil); got != 7 {
		t.Errorf("a cell alone: %g", got)
	}
	wide := make([]float32, 25)
	wide[12] = 9
	if got := MaxMean(wide, 5, 5, nil); got != 1 {
		t.Errorf("the middle of 5 x 5: %g", got)
	}
	wide[3] = float32(math.NaN())
	if got := MaxMean(wide, 5, 5, nil); !math.IsNaN(got) {
		t.Errorf("NaN becomes %g", got)
	}
}

// TestMaxMeanLaws: it lies between the mean and the greatest of the cells, grows as they do, and a grid turned
// over has the same.
func TestMaxMeanLaws(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 3))
	for range 200 {
		width, height := 1+random.IntN(9), 1+random.IntN(9)
		cells, turned, tripled := make([]float32, width*height), make([]float32, width*height), make([]float32, width*height)
		var greatest float64
		least := math.Inf(1)
		for i := range cells {
			cells[i] = random.Float32()
			turned[len(cells)-1-i], tripled[i] = cells[i], 3*cells[i]
			greatest, least = max(greatest, float64(cells[i])), min(least, float64(cells[i]))
		}
		got := MaxMean(cells, width, height, nil)
		if got > greatest || got < least {
			t.Fatalf("%dx%d: %g lies outside %g to %g", width, height, got, least, greatest)
		}
		places := make([]int, len(cells))
		if means := Means(cells, width, height, places); math.Abs(float64(slices.Max(means))-got) > 1e-6 {
			t.Fatalf("%dx%d: the greatest of all means is %g, the greatest mean %g", width, height, slices.Max(means), got)
		}
		for i := range places {
			places[i] = i % 2
		}
		odd := MaxMean(cells, width, height, func(cell int) bool { return cell%2 == 1 })
		for i, v := range Means(cells, width, height, places) {
			if i%2 == 1 && float64(v) > odd+1e-6 {
				t.Fatalf("%dx%d: cell %d is averaged with another place: %g, at most %g", width, height, i, v, odd)
			}
		}
		if other := MaxMean(turned, width, height, nil); math.Abs(other-got) > 1e-12 {
			t.Fatalf("%dx%d: turned over %g, before %g", width, height, other, got)
		}
		if other := MaxMean(tripled, width, height, nil); math.Abs(other-3*got) > 1e-6 {
			t.Fatalf("%dx%d: tripled %g, before %g", width, height, other, got)
		}
		cells[random.IntN(len(cells))] += 1
		if other := MaxMean(cells, width, height, nil); other < got {
			t.Fatalf("%dx%d: a cell grew and the score fell from %g to %g", width, height, got, other)
		}
	}
}

func BenchmarkMaxMean(b *testing.B) {
	cells := make([]float32, 32*32)
	for b.Loop() {
		MaxMean(cells, 32, 32, nil)
	}
}
