package inspect

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"linectl/internal/inspect/calibrate"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
)

func limitAt(value float64) recipe.Threshold {
	return recipe.Threshold{Threshold: calibrate.Threshold{Value: value}}
}

func half(name string, fromX, toX, value float64) recipe.Zone {
	return recipe.Zone{Name: name, Polygon: [][2]float64{{fromX, 0}, {toX, 0}, {toX, 1}, {fromX, 1}}, Threshold: limitAt(value)}
}

// TestZoneDecides: the zone that reaches the greatest share of its threshold decides, not the greatest score.
func TestZoneDecides(t *testing.T) {
	m := recipe.Manifest{Method: recipe.Method{Score: patchcore.Max}, Threshold: limitAt(10), Zones: []recipe.Zone{
		half("left", 0, 0.25, 2), half("right", 0.75, 1, 100),
		{Name: "text", Ignore: true, Polygon: [][2]float64{{0.25, 0}, {0.5, 0}, {0.5, 1}, {0.25, 1}}},
	}}
	j, err := newJudge(m, 4, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		cells []float32
		zone  string
		score float64
	}{
		{[]float32{1, 0, 4, 30}, "left", 1},   // 0.5 against 0.4 and 0.3
		{[]float32{1, 0, 6, 30}, "", 6},       // the rest: 0.6
		{[]float32{1, 0, 4, 99}, "right", 99}, // 0.99
		{[]float32{1, 999, 4, 3}, "left", 1},  // what is ignored does not count
		{[]float32{0, 999, 0, 0}, "", 0},      // nothing
		{[]float32{3, 0, 20, 150}, "", 20},    // 2 against 1.5 and 1.5
		{[]float32{8, 0, 20, 150}, "left", 8}, // 4
	} {
		if got := j.decide(part.Map{Width: 4, Height: 1, Cells: test.cells}); got.zone != test.zone || got.score != test.score {
			t.Errorf("%v: zone %q with %g, want %q with %g", test.cells, got.zone, got.score, test.zone, test.score)
		}
	}
}

// TestReviewOfAnyZone: a part is looked at for the zone whose review is due, though another one is nearer to its threshold.
func TestReviewOfAnyZone(t *testing.T) {
	zone := func(name string, fromX, threshold, review float64) recipe.Zone {
		z := half(name, fromX, fromX+0.5, threshold)
		z.Threshold.Review = review
		return z
	}
	m := recipe.Manifest{Method: recipe.Method{Score: patchcore.Max}, Zones: []recipe.Zone{zone("a", 0, 10, 9.5), zone("b", 0.5, 10, 7)}}
	j, err := newJudge(m, 2, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		cells []float32
		zone  string
		due   bool
	}{
		{[]float32{9, 8.5}, "b", true},
		{[]float32{9, 6}, "a", false},
		{[]float32{9.6, 8.5}, "a", true},
		{[]float32{11, 8.5}, "a", true}, // a reject all the same
		{[]float32{0, 0}, "a", false},
	} {
		if got := j.decide(part.Map{Width: 2, Height: 1, Cells: test.cells}); got.zone != test.zone || got.due() != test.due {
			t.Errorf("%v: zone %q, due %v, want %q, %v", test.cells, got.zone, got.due(), test.zone, test.due)
		}
	}
}

// TestZoneScores: the running choice of the greatest cells against sorting them all.
func TestZoneScores(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		k := 1 + r.IntN(6)
		m := recipe.Manifest{Method: recipe.Method{Score: patchcore.MeanTopK, TopK: k}, Threshold: limitAt(1), Zones: []recipe.Zone{half("z", 0, 0.5, 1)}}
		j, err := newJudge(m, 8, 4, nil)
		if err != nil {
			t.Fatal(err)
		}
		cells := make([]float32, 32)
		var inside []float64
		for i := range cells {
			cells[i] = float32(r.IntN(10))
			if i%8 < 4 {
				inside = append(inside, float64(cells[i]))
			}
		}
		slices.Sort(inside)
		var want float64
		for _, v := range inside[len(inside)-k:] {
			want += v / float64(k)
		}
		if got := j.score(part.Map{Width: 8, Height: 4, Cells: cells}, 0); math.Abs(got-want) > 1e-12 {
			t.Fatalf("mean of the %d greatest of %v is %g, want %g", k, inside, got, want)
		}
	}
}

func TestZonesThatCannotBeJudged(t *testing.T) {
	for name, m := range map[string]recipe.Manifest{
		"all ignored":  {Method: recipe.Method{Score: patchcore.Max}, Zones: []recipe.Zone{{Name: "all", Ignore: true, Polygon: [][2]float64{{0, 0}, {1, 0}, {1, 1}, {0, 1}}}}},
		"covered":      {Method: recipe.Method{Score: patchcore.Max}, Zones: []recipe.Zone{half("a", 0, 0.5, 1), half("b", 0, 1, 1)}},
		"below a cell": {Method: recipe.Method{Score: patchcore.Max}, Zones: []recipe.Zone{half("a", 0, 0.01, 1)}},
		"reweighted":   {Method: recipe.Method{Score: patchcore.Reweighted}, Zones: []recipe.Zone{half("a", 0, 0.5, 1)}},
	} {
		if _, err := newJudge(m, 4, 4, nil); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// TestZoneOfMeans: neighbours of another zone are no part of a mean.
func TestZoneOfMeans(t *testing.T) {
	m := recipe.Manifest{Method: recipe.Method{Score: patchcore.MaxMean}, Threshold: limitAt(1), Zones: []recipe.Zone{half("left", 0, 0.5, 1)}}
	j, err := newJudge(m, 4, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	grid := part.Map{Width: 4, Height: 1, Cells: []float32{1, 2, 30, 40}}
	if left, rest := j.score(grid, 0), j.score(grid, recipe.Rest); left != 1.5 || rest != 35 {
		t.Errorf("left %g, rest %g; want 1.5 and 35", left, rest)
	}
}

// TestZoneScoresExactly: what a map only holds roughly is computed until nothing can come before it.
func TestZoneScoresExactly(t *testing.T) {
	for _, c := range []struct {
		rough, exact []float64
		want         float64
		computed     int
	}{
		{[]float64{1, 0.99, 0.5, 0.4}, []float64{0.95, 1.05, 0.5, 0.4}, 1.05, 2},
		{[]float64{1, 0.9, 0.5, 0.4}, []float64{1.1, 9, 9, 9}, 1.1, 1},
		{[]float64{1, 0.99, 0.98, 0.97}, []float64{0.1, 0.1, 0.1, 0.96}, 0.96, 4},
	} {
		computed := 0
		m := recipe.Manifest{Method: recipe.Method{Score: patchcore.Max}, Threshold: limitAt(1), Zones: []recipe.Zone{half("z", 0.9, 1, 1)}}
		j, err := newJudge(m, 5, 1, func(cell int) float64 { computed++; return c.exact[cell] })
		if err != nil {
			t.Fatal(err)
		}
		cells := []float32{0, 0, 0, 0, 9}
		for i, d := range c.rough {
			cells[i] = float32(d)
		}
		if got := j.score(part.Map{Width: 5, Height: 1, Cells: cells}, recipe.Rest); got != c.want || computed != c.computed {
			t.Errorf("%v, exactly %v, scores %g after %d were computed; want %g after %d", c.rough, c.exact, got, computed, c.want, c.computed)
		}
	}
}
