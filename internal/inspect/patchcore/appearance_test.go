package patchcore

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestAppearance holds the distance against ledoit_wolf of scikit-learn 1.9.1, which shrinks the covariance by 0.62 there, against its
// shrunk_covariance by 0.9, and a solved system of NumPy, of the same standardised numbers.
func TestAppearance(t *testing.T) {
	m := Means{Rows: 14, Dim: 3, Vectors: []float32{
		4.62, 5.91, 1.56, 0.35, -0.45, 4.96, 3.43, 4.25, 2.88, 2.23, 2.08, 3.67, 3.32, 2.21, 3.26, 3.19, 2.32, 3.06, 1.33, 0.2, 4.65,
		3.04, 1.52, 3.59, 1.75, 1.03, 3.8, 6.6, 7.81, -0.09, 3.24, 3.32, 3.38, 2.95, 2.55, 3.73, 2.64, 2.21, 3.46, 2.56, 1.91, 3.22}}
	for _, c := range []struct {
		shrinkage float64
		mean      []float32
		want      float64
	}{
		{0, []float32{2, 1, 3.5}, 0.4944201906881342}, {0, []float32{4, 5, 2.5}, 0.7290941180827796},
		{0.9, []float32{2, 1, 3.5}, 0.5505511317458824}, {0.9, []float32{4, 5, 2.5}, 0.777886020642834},
	} {
		a, err := NewAppearance(m, c.shrinkage, Weighing{})
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Unlikeness(c.mean); math.Abs(got-c.want) > 1e-5 {
			t.Errorf("shrunk by %g, %v is at %g, not %g", c.shrinkage, c.mean, got, c.want)
		}
	}
	half := m.Of([]int{9, 0})
	if half.Rows != 2 || half.Dim != 3 || half.Vectors[0] != 6.6 || half.Vectors[3] != 4.62 || len(half.Vectors) != 6 {
		t.Errorf("two rows: %+v", half)
	}
}

// TestAppearanceOfAnyPictures: few pictures in many numbers, pictures that are twice there, and numbers that never vary all
// have an appearance, in which the mean is nearest and what lies farther out in any direction is farther. Only pictures that are all the same have none.
func TestAppearanceOfAnyPictures(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, rows := range []int{2, 3, 12, 200} {
		m := Means{Rows: rows, Dim: 50, Vectors: make([]float32, rows*50)}
		for i := range m.Vectors {
			if i%50 != 7 { // which never varies
				m.Vectors[i] = float32(10 + random.NormFloat64())
			}
			if rows == 12 && i >= 50 && i < 100 {
				m.Vectors[i] = m.Vectors[i-50]
			}
		}
		a, err := NewAppearance(m, Shrinkage, Weighing{})
		if err != nil {
			t.Fatalf("%d pictures: %v", rows, err)
		}
		mean := make([]float32, 50) // of what is compared
		for j := range mean {
			var sum float64
			for row := range rows {
				sum += a.taken(m.Vectors[50*row+j])
			}
			mean[j] = float32(a.unit * math.Sinh(sum/float64(rows)))
		}
		if d := a.Unlikeness(mean); !(d < 1e-2) {
			t.Errorf("%d pictures: their mean is at %g", rows, d)
		}
		before := 0.0
		for _, by := range []float32{0.5, 1, 2, 4} {
			moved := make([]float32, 50)
			for i := range moved {
				moved[i] = mean[i] + by*float32(i%3)
			}
			d := a.Unlikeness(moved)
			if !(d > before) {
				t.Errorf("%d pictures: moved by %g it is at %g, nearer than %g", rows, by, d, before)
			}
			before = d
		}
	}
	same := Means{Rows: 3, Dim: 2, Vectors: []float32{1, 2, 1, 2, 1, 2}}
	if _, err := NewAppearance(same, Shrinkage, Weighing{}); err == nil {
		t.Error("three times the same picture is an appearance")
	}
	if _, err := NewAppearance(Means{Rows: 1, Dim: 2, Vectors: []float32{1, 2}}, Shrinkage, Weighing{}); err == nil {
		t.Error("one picture is an appearance")
	}
}

// TestWeigh: a weighted appearance varies by its share of what scores vary, whatever a few odd pictures do, and begins at the most
// ordinary picture.
func TestWeigh(t *testing.T) {
	var scores, unlike []float64
	for i := range 101 {
		scores, unlike = append(scores, 3+float64(i)/50), append(unlike, 20+float64(i)/5)
	}
	scores[100], unlike[100] = 1000, 1e6
	w := Weigh(scores, unlike)
	if math.Abs(w.Weight-appearanceShare/10) > 0.01*appearanceShare/10 || w.From != 20 {
		t.Errorf("%+v", w)
	}
	if got := w.Of(30); math.Abs(got-10*w.Weight) > 1e-12 || w.Of(19) != 0 || !math.IsNaN(w.Of(math.NaN())) {
		t.Errorf("30 adds %g, 19 adds %g, no number adds %g", got, w.Of(19), w.Of(math.NaN()))
	}
	if w := Weigh([]float64{1, 2, 3}, []float64{5, 5, 5}); w != (Weighing{}) {
		t.Errorf("appearances that do not vary weigh %+v", w)
	}
}

// TestScorerKnowsTheAppearance holds what a scorer adds against the mean of the reference's patches: the score by the patches, and
// their map, are as without.
func TestScorerKnowsTheAppearance(t *testing.T) {
	r := start(t)
	random := rand.New(rand.NewPCG(5, 7))
	for _, shape := range shapes {
		features := layers(t, r, shape...)
		patches := referencePatches(features)
		dim := len(patches[0])
		bank := Bank{Rows: 50, Dim: dim}
		for range bank.Rows * dim {
			bank.Vectors = append(bank.Vectors, random.Float32())
		}
		m := Means{Rows: 30, Dim: dim}
		for range m.Rows * dim {
			m.Vectors = append(m.Vectors, random.Float32())
		}
		a, err := NewAppearance(m, Shrinkage, Weighing{0.25, 0.5})
		if err != nil {
			t.Fatal(err)
		}
		mean := make([]float32, dim)
		for j := range mean {
			var sum float64
			for _, p := range patches {
				sum += p[j]
			}
			mean[j] = float32(sum / float64(len(patches)))
		}
		for _, precision := range []string{FP32, Int8} {
			var scores [2]float64
			for i, o := range []Options{{Max, 0, precision}, {MaxAppearance, 0, precision}} {
				s, err := NewScorer(r, features, bank, a, o)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if scores[i], _, err = s.Score(); err != nil {
					t.Fatal(err)
				}
				want := 0.0
				if o.Score == MaxAppearance {
					want = 0.25 * max(0, a.Unlikeness(mean)-0.5)
				}
				if got := s.Appearance(); math.Abs(got-want) > 1e-4*want {
					t.Errorf("%v, %v: the appearance adds %g, want %g", shape, o, got, want)
				}
			}
			if scores[0] != scores[1] {
				t.Errorf("%v: by its patches a picture scores %g with and %g without an appearance", shape, scores[1], scores[0])
			}
		}
		if _, err := NewScorer(r, features, bank, nil, Options{MaxAppearance, 0, FP32}); err == nil {
			t.Errorf("%v: a score with an appearance does without one", shape)
		}
	}
}
