package store

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The figures are those of scipy.stats.binomtest(k, n).proportion_ci(method="wilson").
func TestWilson(t *testing.T) {
	for _, c := range []struct {
		k, n      int64
		low, high float64
	}{
		{0, 0, 0, 1},
		{0, 10, 0, 0.27753279986288926},
		{1, 10, 0.017876213095072896, 0.40415002679523837},
		{10, 10, 0.7224672001371107, 1},
		{2, 3, 0.2076596008987, 0.9385080553},
	} {
		low, high := Wilson(c.k, c.n)
		if math.Abs(low-c.low) > 1e-9 || math.Abs(high-c.high) > 1e-9 {
			t.Errorf("%d of %d: %.12f to %.12f, want %.12f to %.12f", c.k, c.n, low, high, c.low, c.high)
		}
	}
	// It covers the truth in about 95 of 100 samples.
	random := rand.New(rand.NewPCG(1, 2))
	covered, rounds := 0, 20_000
	for range rounds {
		var k int64
		for range 200 {
			if random.Float64() < 0.03 {
				k++
			}
		}
		if low, high := Wilson(k, 200); low <= 0.03 && 0.03 <= high {
			covered++
		}
	}
	if rate := float64(covered) / float64(rounds); rate < 0.93 || rate > 0.98 {
		t.Errorf("it covers the truth in %.3f of all samples", rate)
	}
}

func noise(random *rand.Rand, n int, shift float64, from int) (values, weights []float64) {
	for i := range n {
		v := random.NormFloat64()
		if i >= from {
			v += shift
		}
		values, weights = append(values, v), append(weights, 1)
	}
	return values, weights
}

func TestEWMA(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var early, late, length int
	for range 200 {
		series, _ := noise(random, 300, 1.5, 200)
		series[7] = math.NaN()
		chart := EWMA(series, 100)
		if !math.IsNaN(chart.Average[7]) || chart.Alarm[7] {
			t.Fatal("a value that is none counts")
		}
		first := -1
		for i, a := range chart.Alarm {
			if out := chart.Average[i] < chart.Low[i] || chart.Average[i] > chart.High[i]; i >= 100 && out != a {
				t.Fatalf("%d: %g of %g to %g, alarm %v", i, chart.Average[i], chart.Low[i], chart.High[i], a)
			}
			if a && i < 200 {
				early++
			}
			if a && i >= 200 && first < 0 {
				first = i
			}
		}
		if first >= 0 {
			late++
			length += first - 200
		}
	}
	if late < 199 {
		t.Errorf("a shift of 1.5 deviations was noticed %d of 200 times", late)
	}
	if mean := float64(length) / float64(late); mean > 10 { // Montgomery's table: about 5
		t.Errorf("it took %.1f values to notice it", mean)
	}
	if early > 300 { // of 20,000
		t.Errorf("%d alarms without a reason", early)
	}
	if chart := EWMA([]float64{1, 2, 3, 100}, 3); chart.Alarm[3] {
		t.Error("limits were drawn from three values")
	}
}

// TestEWMARunLengths holds the chart against the average run lengths that Lucas and Saccucci (Technometrics 32,
// 1990, table 3; in Montgomery, table 9.11) work out for λ = 0.2 and L = 2.962: 500 values without a shift, and
// 41.8, 10.5 and 3.7 with shifts of 0.5, 1 and 2 deviations. L = 3 makes each a little longer.
func TestEWMARunLengths(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	const baseline, runs = 3000, 400 // so many values that their mean is as good as known
	for _, test := range []struct{ shift, least, most float64 }{{0, 470, 680}, {0.5, 37, 51}, {1, 9, 13}, {2, 3, 5}} {
		var sum float64
		for range runs {
			series := make([]float64, baseline+6000)
			for i := range series {
				if series[i] = random.NormFloat64(); i >= baseline {
					series[i] += test.shift
				}
			}
			length := slices.Index(EWMA(series, baseline).Alarm, true) - baseline + 1
			if length < 1 {
				length = 6000
			}
			sum += float64(length)
		}
		if mean := sum / runs; mean < test.least || mean > test.most {
			t.Errorf("a shift of %g is noticed after %.1f values, want %g to %g", test.shift, mean, test.least, test.most)
		} else {
			t.Logf("a shift of %g is noticed after %.1f values", test.shift, mean)
		}
	}
}

func TestFindChange(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		values, weights := noise(random, 500, 2, 350)
		c, ok := FindChange(values, weights)
		if !ok || c.Index < 340 || c.Index > 360 || math.Abs(c.After-c.Before-2) > 0.7 || c.Strength < 10 {
			t.Fatalf("%+v, %v", c, ok)
		}
	}
	strongest := 0.0
	for range 100 {
		values, weights := noise(random, 3000, 0, 0)
		c, _ := FindChange(values, weights)
		strongest = max(strongest, c.Strength)
	}
	if strongest > 6 {
		t.Errorf("chance alone made a change of %.1f standard errors", strongest)
	}
	if _, ok := FindChange(make([]float64, 9), make([]float64, 9)); ok {
		t.Error("nine values are enough")
	}
	same := make([]float64, 50)
	weights := make([]float64, 50)
	for i := range weights {
		weights[i] = 1
	}
	if c, _ := FindChange(same, weights); c.Strength != 0 {
		t.Errorf("a flat line changes by %+v", c)
	}
}

func TestShift(t *testing.T) {
	c := DefaultConfig()
	c.TimeZone, c.Shifts = "Europe/Berlin", "06:00 14:00 22:00"
	calendar, err := c.Calendar()
	if err != nil {
		t.Skip("no time zones here:", err)
	}
	for at, want := range map[string]string{
		"2026-11-24T04:59:59Z": "2026-11-23 22:00",
		"2026-11-24T05:00:00Z": "2026-11-24 06:00",
		"2026-11-24T13:00:00Z": "2026-11-24 14:00",
		"2026-11-24T22:30:00Z": "2026-11-24 22:00",
		"2026-10-25T00:30:00Z": "2026-10-24 22:00", // 02:30, first time
		"2026-10-25T01:30:00Z": "2026-10-24 22:00", // 02:30, again
		"2026-10-25T05:00:00Z": "2026-10-25 06:00",
	} {
		instant, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := calendar.Shift(instant); got != want {
			t.Errorf("%s is in shift %s, want %s", at, got, want)
		}
	}
	for _, wrong := range []string{"6", "06:00 05:00", "06:10", "25:00"} {
		c.Shifts = wrong
		if problems := c.Check(); len(problems) != 1 {
			t.Errorf("shifts %q: %v", wrong, problems)
		}
	}
	c.Shifts, c.TimeZone = "", "Mars/Olympus"
	if problems := c.Check(); len(problems) != 1 {
		t.Errorf("%v", problems)
	}
}
