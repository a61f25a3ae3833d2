package evaluate

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestAUROC(t *testing.T) {
	for _, test := range []struct {
		good, bad []float64
		want      float64
	}{
		{[]float64{1, 2}, []float64{3, 4}, 1},
		{[]float64{3, 4}, []float64{1, 2}, 0},
		{[]float64{1, 1}, []float64{1, 1}, 0.5},
		{[]float64{1, 3}, []float64{2, 3}, 0.625},
		{nil, []float64{1}, math.NaN()},
		{[]float64{1}, nil, math.NaN()},
		{[]float64{math.NaN(), 1}, []float64{1}, math.NaN()},
		{[]float64{1}, []float64{2, math.NaN()}, math.NaN()},
	} {
		got := AUROC(test.good, test.bad)
		if got != test.want && !(math.IsNaN(got) && math.IsNaN(test.want)) {
			t.Errorf("good %v, bad %v: %g, want %g", test.good, test.bad, got, test.want)
		}
	}
}

// TestAUROCIsItsDefinition compares with every pair counted.
func TestAUROCIsItsDefinition(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		good, bad := make([]float64, 1+random.IntN(30)), make([]float64, 1+random.IntN(30))
		for _, side := range [][]float64{good, bad} {
			for i := range side {
				side[i] = float64(random.IntN(12))
			}
		}
		var wins float64
		for _, b := range bad {
			for _, g := range good {
				if b > g {
					wins++
				} else if b == g {
					wins += 0.5
				}
			}
		}
		want := wins / float64(len(good)*len(bad))
		if got := AUROC(good, bad); math.Abs(got-want) > 1e-12 {
			t.Fatalf("good %v, bad %v: %g, want %g", good, bad, got, want)
		}
	}
}
