package calibrate

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

// TestPromiseIsKept draws many sets of good scores, sets the threshold from each, and compares the true
// rate of false rejects, averaged over the sets, with what was expected. Where the tail is exponential it
// must come out as promised; where it is lighter, no more than that.
func TestPromiseIsKept(t *testing.T) {
	source := rand.NewPCG(11, 12)
	random := rand.New(source)
	exponential := distuv.Exponential{Rate: 2, Src: source}
	gumbel := distuv.GumbelRight{Mu: 3, Beta: 0.4, Src: source}
	for _, test := range []struct {
		name     string
		draw     func() float64
		survival func(float64) float64
		low      float64 // least share of the promise that is used up
		high     float64
	}{
		{"exponential", exponential.Rand, exponential.Survival, 0.7, 1.2},
		{"gumbel", gumbel.Rand, gumbel.Survival, 0.6, 1.2},
		{"uniform", random.Float64, func(x float64) float64 { return min(max(1-x, 0), 1) }, 0, 1.05},
	} {
		for _, n := range []int{Minimum, 40, 200, 1000} {
			for _, target := range []float64{20, 100, 500} {
				const sets = 1000
				var rate float64
				for range sets {
					scores := make([]float64, n)
					for i := range scores {
						scores[i] = test.draw()
					}
					threshold, _, err := place(scores, target)
					if err != nil {
						t.Fatal(err)
					}
					rate += 10000 * test.survival(threshold.Value) / sets
				}
				if rate > target*test.high || rate < target*test.low {
					t.Errorf("%s, %d scores: %.1f false rejects in 10,000 where %g were promised", test.name, n, rate, target)
				}
			}
		}
	}
}

// TestIntervalHolds: the interval must hold the true rate nine times out of ten.
func TestIntervalHolds(t *testing.T) {
	exponential := distuv.Exponential{Rate: 2, Src: rand.NewPCG(13, 14)}
	for _, n := range []int{20, 100, 600} {
		const sets = 150
		held := 0
		for range sets {
			scores := make([]float64, n)
			for i := range scores {
				scores[i] = exponential.Rand()
			}
			threshold, err := Set(scores, 50)
			if err != nil {
				t.Fatal(err)
			}
			if rate := 10000 * exponential.Survival(threshold.Value); rate >= threshold.Low && rate <= threshold.High {
				held++
			}
		}
		if share := float64(held) / sets; share < 0.83 || share > 0.97 {
			t.Errorf("%d scores: the interval holds the true rate in %.0f %% of sets, 90 were promised", n, 100*share)
		}
	}
}

func TestSet(t *testing.T) {
	scores := make([]float64, 39)
	for i := range scores {
		scores[i] = 3 + math.Log(40/float64(i+1)) // exactly exponential above 3
	}
	few, err := Set(scores, DefaultTarget(39))
	if err != nil {
		t.Fatal(err)
	}
	if few.Target != 250 || math.Abs(few.Expected-250) > 1e-6 || few.Scores != 39 || few.Tail != 9 || few.Greatest != scores[0] || few.Rule != Rule {
		t.Errorf("%+v", few)
	}
	if few.Low <= 0 || few.Low >= few.Expected || few.High <= few.Expected {
		t.Errorf("interval %g to %g round %g", few.Low, few.High, few.Expected)
	}
	again, err := Set(scores, DefaultTarget(39))
	if err != nil || again != few {
		t.Errorf("the same scores give another promise: %+v, %v", again, err)
	}
	strict, err := Set(scores, 10)
	if err != nil || strict.Value <= few.Value {
		t.Errorf("fewer false rejects must need a higher threshold: %g for 10, %g for 250; %v", strict.Value, few.Value, err)
	}
}

func TestSetRefuses(t *testing.T) {
	good := make([]float64, 20)
	for i := range good {
		good[i] = float64(i)
	}
	bad := append([]float64{math.NaN()}, good...)
	for _, test := range []struct {
		scores []float64
		target float64
		want   string
	}{
		{good[:11], 50, "11 good pictures are too few to set a threshold; at least 12 are needed, 100 or more are better"},
		{good, 0.5, "0.5 false rejects in 10,000 cannot be promised; allowed is 1 to 500"},
		{good, 501, "501 false rejects in 10,000 cannot be promised; allowed is 1 to 500"},
		{bad, 50, "a good picture scores NaN"},
		{make([]float64, 20), 50, "the 5 greatest scores of 20 good pictures are all 0: the pictures are copies of one another"},
	} {
		if _, err := Set(test.scores, test.target); err == nil || err.Error() != test.want {
			t.Errorf("error %q, want %q", err, test.want)
		}
	}
}

// TestFolds: every picture is held out exactly once, with its neighbours.
func TestFolds(t *testing.T) {
	for n := 1; n < 50; n++ {
		next := 0
		for _, run := range Folds(n, 5) {
			if run[0] != next || run[1] <= run[0] {
				t.Fatalf("%d pictures: run %v after %d", n, run, next)
			}
			next = run[1]
		}
		if next != n {
			t.Fatalf("%d pictures: the last run ends at %d", n, next)
		}
	}
}
