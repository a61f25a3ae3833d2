package calibrate

import (
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

// TestPromiseIsKept draws many sets of good scores, sets the threshold from each, and compares the true
// rate of false rejects, averaged over the sets, with what was promised: never more, whatever the tail, and
// where it is exponential not much less. The interval must hold the true rate in 95 of 100 sets at least.
func TestPromiseIsKept(t *testing.T) {
	source := rand.NewPCG(11, 12)
	random := rand.New(source)
	exponential := distuv.Exponential{Rate: 2, Src: source}
	gumbel := distuv.GumbelRight{Mu: 3, Beta: 0.4, Src: source}
	pareto := distuv.Pareto{Xm: 1, Alpha: 3, Src: source}
	for _, test := range []struct {
		name     string
		draw     func() float64
		survival func(float64) float64
		least    float64 // share of the promise that is used up
	}{
		{"exponential", exponential.Rand, exponential.Survival, 0.45},
		{"gumbel", gumbel.Rand, gumbel.Survival, 0.4},
		{"uniform", random.Float64, func(x float64) float64 { return min(max(1-x, 0), 1) }, 0},
		{"heavy", pareto.Rand, pareto.Survival, 0.4},
	} {
		for _, n := range []int{20, 40, 200, 1000} {
			for _, target := range []float64{20, 100, 500} {
				if target < Least(float64(n)) {
					continue
				}
				const sets = 1000
				var rate, held float64
				for range sets {
					scores := make([]float64, n)
					for i := range scores {
						scores[i] = test.draw()
					}
					threshold, err := Set(scores, nil, target)
					if err != nil {
						t.Fatal(err)
					}
					is := 10000 * test.survival(threshold.Value)
					rate += is / sets
					if is >= threshold.Low && is <= threshold.High {
						held++
					}
					if threshold.Expected < threshold.Low || threshold.Expected > threshold.High {
						t.Fatalf("%g expected between %g and %g", threshold.Expected, threshold.Low, threshold.High)
					}
				}
				if rate > 1.1*target || rate < test.least*target {
					t.Errorf("%s, %d scores: %.1f false rejects in 10,000 where %g were promised", test.name, n, rate, target)
				}
				if held < 0.93*sets { // 95 %, less three standard deviations of such a count
					t.Errorf("%s, %d scores, target %g: the interval holds the true rate in %.0f of %d sets", test.name, n, target, held, sets)
				}
			}
		}
	}
}

// TestBurstsAreWorthLess: six pictures of each part, which score almost alike, make no narrower a promise than
// one of each, and the interval holds as often as it says.
func TestBurstsAreWorthLess(t *testing.T) {
	source := rand.NewPCG(15, 16)
	exponential := distuv.Exponential{Rate: 2, Src: source}
	random := rand.New(source)
	const parts, burst, sets = 100, 6, 300
	held, blind := 0, 0
	for range sets {
		var scores []float64
		var groups []int
		for part := range parts {
			score := exponential.Rand()
			for range burst {
				scores = append(scores, score+1e-3*random.Float64())
				groups = append(groups, part)
			}
		}
		effective, err := Effective(scores, groups)
		if err != nil {
			t.Fatal(err)
		}
		if effective < 0.9*parts || effective > 1.4*parts {
			t.Fatalf("%d pictures of %d parts are worth %.0f", len(scores), parts, effective)
		}
		with, err := Set(scores, groups, 150)
		if err != nil {
			t.Fatal(err)
		}
		without, err := Set(scores, nil, 150)
		if err != nil {
			t.Fatal(err)
		}
		if rate := 10000 * exponential.Survival(with.Value); rate >= with.Low && rate <= with.High {
			held++
		}
		if rate := 10000 * exponential.Survival(without.Value); rate >= without.Low && rate <= without.High {
			blind++
		}
	}
	t.Logf("the interval holds the true rate in %d of %d sets, %d where bursts are taken for different parts", held, sets, blind)
	if held < 94*sets/100 || blind > 85*sets/100 {
		t.Errorf("held %d of %d, blind to bursts %d", held, sets, blind)
	}
}

func TestSet(t *testing.T) {
	scores := make([]float64, 39)
	for i := range scores {
		scores[i] = 3 + math.Log(40/float64(i+1)) // exactly exponential above 3
	}
	few, err := Set(scores, nil, DefaultTarget(39))
	if err != nil {
		t.Fatal(err)
	}
	if few.Target != 500 || math.Abs(few.Expected-500) > 1e-6 || few.Scores != 39 || few.Effective != 39 || few.Tail != 10 || few.Greatest != scores[0] || few.Rule != Rule {
		t.Errorf("%+v", few)
	}
	if few.Low > few.Expected || few.High <= few.Expected {
		t.Errorf("interval %g to %g round %g", few.Low, few.High, few.Expected)
	}
	again, err := Set(scores, nil, DefaultTarget(39))
	if err != nil || again != few {
		t.Errorf("the same scores give another promise: %+v, %v", again, err)
	}
	strict, err := Set(scores, nil, 250)
	if err != nil || strict.Value <= few.Value {
		t.Errorf("more false rejects must allow a lower threshold: %g for 500, %g for 250; %v", few.Value, strict.Value, err)
	}
	at, err := At(scores, nil, few.Value)
	at.Target = few.Target
	if err != nil || at != few {
		t.Errorf("the same threshold promises %+v if it is given, %+v if it is asked for; %v", at, few, err)
	}
}

func TestSetRefuses(t *testing.T) {
	good := make([]float64, 40)
	twins := make([]int, 40)
	for i := range good {
		good[i] = float64(i)
		twins[i] = i / 4
	}
	bad := append([]float64{math.NaN()}, good...)
	for _, test := range []struct {
		scores []float64
		groups []int
		target float64
		want   string
	}{
		{good[:11], nil, 500, "good pictures of 11 different parts are too few to set a threshold; at least 12 are needed, 100 or more are better"},
		{good, twins, 500, "good pictures of 10 different parts are too few to set a threshold; at least 12 are needed, 100 or more are better"},
		{good, nil, 0.5, "0.5 false rejects in 10,000 cannot be promised; allowed is 1 to 1000"},
		{good, nil, 1001, "1001 false rejects in 10,000 cannot be promised; allowed is 1 to 1000"},
		{bad, nil, 500, "a good picture scores NaN"},
		{good, nil, 50, "50 false rejects in 10,000 cannot be promised from 40 pictures: they can speak for 244 at best; 50 needs 199 pictures of different parts"},
		{make([]float64, 20), nil, 500, "the 5 greatest scores of 20 good pictures are all 0: the pictures are copies of one another"},
	} {
		if _, err := Set(test.scores, test.groups, test.target); err == nil || err.Error() != test.want {
			t.Errorf("error %q, want %q", err, test.want)
		}
	}
	var few *TooFewError
	if _, err := Set(good, nil, 50); !errors.As(err, &few) || few.Best() != 244 {
		t.Errorf("%v", err)
	}
	// What is named as needed suffices, and one picture less does not.
	many := make([]float64, 199)
	for i := range many {
		many[i] = float64(i % 97)
	}
	if _, err := Set(many, nil, 50); err != nil {
		t.Errorf("199 pictures: %v", err)
	}
	if _, err := Set(many[:180], nil, 50); !errors.As(err, &few) {
		t.Errorf("180 pictures: %v", err)
	}
}

// TestFolds: every picture has a part, groups stay whole, and parts are about equal.
func TestFolds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for n := 1; n < 60; n++ {
		groups := make([]int, n)
		for i := range groups {
			groups[i] = random.IntN(1 + n/2)
		}
		of := Folds(groups, 5)
		fold := make(map[int]int)
		sizes, members := make([]int, 5), make(map[int]int)
		for i, f := range of {
			if known, ok := fold[groups[i]]; ok && known != f {
				t.Fatalf("%d pictures: group %d lies in parts %d and %d", n, groups[i], known, f)
			}
			fold[groups[i]] = f
			sizes[f]++
			members[groups[i]]++
		}
		largest := 0
		for _, m := range members {
			largest = max(largest, m)
		}
		low, high := n, 0
		for _, s := range sizes[:min(5, len(members))] {
			low, high = min(low, s), max(high, s)
		}
		if low == 0 || high-low > largest {
			t.Fatalf("%d pictures in parts of %v", n, sizes)
		}
	}
}

// TestCounting: what was left out counts as good pictures that are rejected, with the interval that the binomial law gives
// for so many of all.
func TestCounting(t *testing.T) {
	scores := make([]float64, 100)
	for i := range scores {
		scores[i] = float64(i)
	}
	seen, err := At(scores, nil, 20.5) // 79 of 100 reach it
	if err != nil {
		t.Fatal(err)
	}
	got := seen.Counting(3)
	if want := 10000.0 * 82 / 104; math.Abs(got.Expected-want) > 1e-6 {
		t.Errorf("%g expected, want %g", got.Expected, want)
	}
	fewer := 1 - distuv.Binomial{N: 103, P: got.Low / 10000}.CDF(81)
	more := distuv.Binomial{N: 103, P: got.High / 10000}.CDF(82)
	if math.Abs(fewer-0.025) > 1e-6 || math.Abs(more-0.025) > 1e-6 {
		t.Errorf("82 of 103 or more have %g at %g, 82 or fewer %g at %g; want 0.025", fewer, got.Low, more, got.High)
	}
	if got := seen.Counting(0); math.Abs(got.Expected-seen.Expected) > 1e-6 || math.Abs(got.High-seen.High) > 1e-6 {
		t.Errorf("none left out: %+v, not %+v", got, seen)
	}
}

// scene draws descriptors of n parts, each photographed so often with a little noise.
func scene(random *rand.Rand, parts, shots, dim int, noise float64) (descriptors []float32, truth []int) {
	for p := range parts {
		is := make([]float64, dim)
		for j := range is {
			is[j] = random.NormFloat64() / float64(1+j/4) // directions of very different weight
		}
		for range shots {
			for j, v := range is {
				descriptors = append(descriptors, float32(v+noise*random.NormFloat64()/float64(1+j/4)))
			}
			truth = append(truth, p)
		}
	}
	return descriptors, truth
}

// TestGroup: pictures of one part are found, pictures of different parts are not put together.
func TestGroup(t *testing.T) {
	random := rand.New(rand.NewPCG(21, 22))
	const dim = 64
	for _, test := range []struct {
		parts, shots int
		noise        float64
	}{{40, 1, 0}, {200, 1, 0}, {60, 3, 0.15}, {120, 6, 0.15}, {12, 20, 0.1}, {20, 10, 0.05}, {20, 10, 0.15}, {30, 8, 0.15}} {
		together, pairs, wrong := 0, 0, 0
		for range 5 {
			descriptors, truth := scene(random, test.parts, test.shots, dim, test.noise)
			groups := Group(descriptors, dim)
			for i := range groups {
				for j := range i {
					switch same := groups[i] == groups[j]; {
					case truth[i] == truth[j]:
						pairs++
						if same {
							together++
						}
					case same:
						wrong++
					}
				}
			}
		}
		if float64(together) < 0.95*float64(pairs) || wrong > 3 {
			t.Errorf("%d parts, %d shots of each: %d of %d pairs found, %d wrong", test.parts, test.shots, together, pairs, wrong)
		}
	}
	// Parts that are all but alike and lie at any angle form a closed curve: those that happen to lie alike may count as
	// one, but they must not hang together all the way round.
	for _, n := range []int{100, 300, 1000} {
		var turned []float32
		for range n {
			angle := 2 * math.Pi * random.Float64()
			for h := 1.0; h <= dim/2; h++ {
				weight := math.Pow(h, -1.2)
				turned = append(turned, float32(weight*math.Cos(h*angle)+0.02*random.NormFloat64()), float32(weight*math.Sin(h*angle)+0.02*random.NormFloat64()))
			}
		}
		sizes := make(map[int]int)
		for _, g := range Group(turned, dim) {
			sizes[g]++
		}
		if most := slices.Max(slices.Collect(maps.Values(sizes))); most > n/8 || len(sizes) < n/10 {
			t.Errorf("%d turned parts are %d groups, the greatest of %d", n, len(sizes), most)
		}
	}
	for _, n := range []int{0, 1, 5, 20} { // nothing varies
		if groups := Group(make([]float32, n*dim), dim); len(groups) != n {
			t.Errorf("%d equal pictures: groups %v", n, groups)
		}
	}
}

func TestSuspects(t *testing.T) {
	source := rand.NewPCG(31, 32)
	random := rand.New(source)
	gumbel := distuv.GumbelRight{Mu: 3, Beta: 0.3, Src: source}
	const sets, n, strange = 200, 200, 10
	alarms, found := 0, 0
	for range sets {
		scores := make([]float64, n)
		for i := range scores {
			scores[i] = gumbel.Rand()
		}
		if len(Suspects(scores)) > 0 {
			alarms++
		}
		for i := range strange { // 5 %
			scores[i] = 7 + random.Float64()
		}
		for _, i := range Suspects(scores) {
			if i < strange {
				found++
			}
		}
	}
	if alarms > sets/4 || found < 97*strange*sets/100 {
		t.Errorf("%d of %d clean sets have suspects; %d of %d strange pictures were found", alarms, sets, found, strange*sets)
	}
}

// Products in one folder are told apart, however many there are and however they lie to one another; one product is not.
func TestKinds(t *testing.T) {
	random := rand.New(rand.NewPCG(41, 42))
	const dim = 64
	for _, c := range []struct {
		name  string
		sizes []int
		place func(kind int) []float32 // what sets it apart
	}{
		{"two", []int{40, 20}, func(kind int) []float32 { return []float32{15 * float32(kind)} }},
		{"three in a row", []int{30, 20, 10}, func(kind int) []float32 { return []float32{15 * float32(kind)} }},
		{"three in a triangle", []int{24, 20, 16}, func(kind int) []float32 { return [][]float32{{15, 0}, {-8, 13}, {-8, -13}}[kind] }},
		{"four in a row", []int{18, 16, 14, 12}, func(kind int) []float32 { return []float32{15 * float32(kind)} }},
		{"four in a square", []int{18, 16, 14, 12}, func(kind int) []float32 { return []float32{15 * float32(kind%2), 15 * float32(kind/2)} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, _ := scene(random, 60, 1, dim, 0)
			first := 0
			for kind, size := range c.sizes {
				for i := first; i < first+size; i++ {
					for axis, v := range c.place(kind) {
						d[i*dim+axis] += v
					}
				}
				first += size
			}
			kinds := Kinds(d, dim)
			if len(kinds) != len(c.sizes) {
				t.Fatalf("%d kinds, want %d", len(kinds), len(c.sizes))
			}
			first = 0
			for kind, size := range c.sizes {
				got := slices.Sorted(slices.Values(kinds[kind]))
				if len(got) != size || got[0] != first || got[size-1] != first+size-1 {
					t.Errorf("kind %d is %v, want %d from %d on", kind, got, size, first)
				}
				first += size
			}
		})
	}
	for n := 20; n <= 200; n += 20 {
		for range 20 {
			one, _ := scene(random, n, 1, dim, 0)
			if kinds := Kinds(one, dim); kinds != nil {
				t.Errorf("%d pictures of one kind are taken for %d", n, len(kinds))
			}
		}
	}
}
