// Package calibrate sets the threshold from the scores of good pictures that the memory bank had not
// seen, and says what it promises: how many good parts in ten thousand it will reject. It knows which
// pictures show the same part, and which are unlike the rest. It never asks what defects score.
package calibrate

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Rule names how the threshold follows from the scores; a recipe keeps the name.
const Rule = "exponential-tail/2"

const (
	// Minimum is the least number of good pictures that a threshold can be set from.
	Minimum = 12
	// Enough is the number of good pictures from which on the promise is more than a guess.
	Enough = 100
	// LeastTarget and MostTarget bound what can be asked for.
	LeastTarget, MostTarget = 1, 1000

	leastTail, mostTail = 4, 60
)

// Threshold is a limit for scores and what it promises: a part is rejected where score >= Value.
type Threshold struct {
	Value     float64 `toml:"value" comment:"reject where score >= value"`
	Rule      string  `toml:"rule"`
	Target    float64 `toml:"target" comment:"false rejects in 10,000 that were asked for"`
	Expected  float64 `toml:"expected" comment:"false rejects in 10,000 that are expected"`
	Low       float64 `toml:"low" comment:"with 95 % confidence they lie between low (90 % by exponential-tail/1)"`
	High      float64 `toml:"high" comment:"and high"`
	Scores    int     `toml:"scores" comment:"held-out good pictures behind this"`
	Effective float64 `toml:"effective,omitempty" comment:"independent pictures that they are worth, pictures of the same part being alike"`
	Tail      int     `toml:"tail" comment:"of the pictures this many form the tail"`
	Greatest  float64 `toml:"greatest" comment:"the greatest of their scores"`
}

// DefaultTarget is what is asked for where nobody says otherwise: twice as many false rejects as the least
// that n independent pictures can speak for, but not fewer than 50 in 10,000 nor, where so few can be spoken
// for, more than 500. At the least itself the one strangest good picture would set the threshold, and its
// oddity would let defects through.
func DefaultTarget(n float64) float64 {
	least := math.Ceil(Least(n))
	return min(max(50, 2*least), max(500, least), MostTarget)
}

// Least is the smallest rate in 10,000 that n independent pictures can speak for. Of a new good part and n
// others each is equally likely to score highest (Wilks, "Determination of sample sizes for setting
// tolerance limits", Annals of Mathematical Statistics 12, 1941).
func Least(n float64) float64 { return 10000 / (n + 1) }

// Set sets the threshold for a target, in rejects of good parts in ten thousand. groups tells which
// pictures show the same part: those of the same number; nil, that each shows another.
//
// Scores above the k-th greatest, u, are taken to exceed it by exponentially distributed amounts, which
// is what the tails of most distributions come to (Weissman, "Estimation of parameters and large
// quantiles based on the k largest observations", JASA 73, 1978). The k-1 excesses have the sum S. A new
// good score exceeds u with probability k/(n+1), and then exceeds u+x with the probability
// (1+x/S)^-(k-1): the chance that one exponential is greater than x/S times the sum of k-1 others, with
// the unknown scale integrated out. So few pictures give a wide threshold by themselves:
//
//	value = u + S·((k/((n+1)·target))^(1/(k-1)) - 1)
//
// It is never below the score whose rank the target names, whatever the tail is like: a new good score is
// above the r-th greatest of n with probability r/(n+1).
//
// The interval does not ask what the tail is like either. With j of the n scores above the value, it is that
// of Clopper and Pearson for j in n ("The use of confidence or fiducial limits", Biometrika 26, 1934), which
// is what the order statistics on both sides of the value give: the rate above the r-th is Beta(r, n-r+1).
//
// Pictures of one part score alike, so n of them are worth fewer. The design effect (Kish, "Survey
// Sampling", 1965) says how many fewer: the variance between groups of how many of their scores lie in
// the tail, over what it were if the pictures were independent. k, n and j are divided by it (Korn and
// Graubard, "Confidence intervals for proportions with small expected number of positive counts", Survey
// Methodology 24, 1998). A target that the rest cannot speak for is refused.
func Set(scores []float64, groups []int, target float64) (Threshold, error) {
	if target < LeastTarget || target > MostTarget {
		return Threshold{}, fmt.Errorf("%g false rejects in 10,000 cannot be promised; allowed is %d to %d", target, LeastTarget, MostTarget)
	}
	s, err := newSample(scores, groups)
	if err != nil {
		return Threshold{}, err
	}
	if err := Speaks(target, s.effective(), len(scores)); err != nil {
		return Threshold{}, err
	}
	f, err := fitTail(s)
	if err != nil {
		return Threshold{}, err
	}
	t := s.at(f, max(f.value(target), s.rank(target)))
	t.Target = target
	return t, nil
}

// Speaks refuses, by a *TooFewError, a target that so many pictures, worth so many independent ones, cannot speak for.
func Speaks(target, effective float64, pictures int) error {
	if target < math.Floor(Least(effective)) {
		return &TooFewError{Target: target, Effective: effective, Pictures: pictures}
	}
	return nil
}

// TooFewError says that a target asks for more than the pictures can speak for, and how many could.
type TooFewError struct {
	Target    float64 // in 10,000
	Effective float64 // independent pictures
	Pictures  int
}

// Needed is how many independent pictures can speak for the target.
func (e *TooFewError) Needed() int { return int(math.Ceil(10000/e.Target)) - 1 }

// Best is the least that can be promised, in 10,000.
func (e *TooFewError) Best() float64 { return math.Ceil(Least(e.Effective)) }

func (e *TooFewError) Error() string {
	worth := ""
	if e.Effective < float64(e.Pictures)-0.5 {
		worth = fmt.Sprintf(", which are worth %.0f of different parts,", e.Effective)
	}
	return fmt.Sprintf("%g false rejects in 10,000 cannot be promised from %d pictures: they%s can speak for %.0f at best; %g needs %d pictures of different parts",
		e.Target, e.Pictures, worth, e.Best(), e.Target, e.Needed())
}

// At says what a threshold that somebody chose promises. Its target is 0.
func At(scores []float64, groups []int, value float64) (Threshold, error) {
	s, err := newSample(scores, groups)
	if err != nil {
		return Threshold{}, err
	}
	f, err := fitTail(s)
	if err != nil {
		return Threshold{}, err
	}
	return s.at(f, value), nil
}

// Effective is how many independent pictures the scores are worth.
func Effective(scores []float64, groups []int) (float64, error) {
	s, err := newSample(scores, groups)
	return s.effective(), err
}

// sample is scores, the greatest first, and how far they repeat one another.
type sample struct {
	falling []float64
	design  float64 // the design effect, at least 1
}

func newSample(scores []float64, groups []int) (sample, error) {
	for _, s := range scores {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return sample{}, fmt.Errorf("a good picture scores %g", s)
		}
	}
	if n := count(len(scores), groups); n < Minimum {
		return sample{}, fmt.Errorf("good pictures of %d different parts are too few to set a threshold; at least %d are needed, %d or more are better", n, Minimum, Enough)
	}
	falling := slices.Sorted(slices.Values(scores))
	slices.Reverse(falling)
	return sample{falling, designEffect(scores, groups, falling[len(falling)/4])}, nil
}

func count(n int, groups []int) int {
	if groups == nil {
		return n
	}
	seen := make(map[int]bool)
	for _, g := range groups {
		seen[g] = true
	}
	return len(seen)
}

// designEffect compares the variance between groups of the number of scores above u with that of
// independent pictures.
func designEffect(scores []float64, groups []int, u float64) float64 {
	if groups == nil {
		return 1
	}
	type tally struct{ pictures, above float64 }
	tallies := make(map[int]tally)
	var above float64
	for i, g := range groups {
		t := tallies[g]
		t.pictures++
		if scores[i] > u {
			t.above++
			above++
		}
		tallies[g] = t
	}
	n, g := float64(len(scores)), float64(len(tallies))
	share := above / n
	if g == n || share == 0 {
		return 1
	}
	var between, most float64
	for _, t := range tallies {
		d := t.above - share*t.pictures
		between += d * d
		most += t.pictures * t.pictures
	}
	// Pictures of a part cannot repeat one another more than entirely.
	return min(max(1, between*g/(g-1)/(n*share*(1-share))), most/n)
}

func (s sample) n() float64         { return float64(len(s.falling)) }
func (s sample) effective() float64 { return s.n() / max(1, s.design) }

// rank is the score that a share of the target is above, or nothing where that is none of them.
func (s sample) rank(target float64) float64 {
	if r := int((s.n() + 1) * target / 10000); r >= 1 {
		return s.falling[r-1]
	}
	return math.Inf(-1)
}

// at is what a threshold promises.
func (s sample) at(f tail, value float64) Threshold {
	t := Threshold{Value: value, Rule: Rule, Scores: len(s.falling), Effective: s.effective(), Tail: f.k, Greatest: s.falling[0]}
	var above, reached float64 // scores above the value, and those that equal it as well
	for _, v := range s.falling {
		if v > value {
			above++
		}
		if v >= value {
			reached++
		}
	}
	t.Low, t.High = clopperPearson(math.Floor(above/s.design), above/s.design, s.effective())
	t.Expected = 10000 * reached / (s.n() + 1)
	if value >= f.u {
		t.Expected = max(t.Expected, f.rate(value))
	}
	t.Expected = min(max(t.Expected, t.Low), t.High)
	return t
}

// clopperPearson is the 95 % interval of a rate in 10,000 that at least j and at most k in n speak for; the
// two differ where scores that repeat one another make no whole number.
func clopperPearson(j, k, n float64) (low, high float64) {
	high = 10000
	if j > 0 {
		low = 10000 * distuv.Beta{Alpha: j, Beta: n - j + 1}.Quantile(0.025)
	}
	if k < n {
		high = 10000 * distuv.Beta{Alpha: k + 1, Beta: n - k}.Quantile(0.975)
	}
	return low, high
}

// Counting is the promise if so many more good pictures had been held out and rejected: those that were left out as unlike
// the rest, should parts like them be good ones after all.
func (t Threshold) Counting(more int) Threshold {
	n := cmp.Or(t.Effective, float64(t.Scores)) // recipes of older versions do not say
	rejected, n := t.Expected/10000*(n+1)+float64(more), n+float64(more)
	t.Expected = 10000 * rejected / (n + 1)
	t.Low, t.High = clopperPearson(math.Floor(rejected), rejected, n)
	return t
}

// tail is what the k greatest of n scores come to.
type tail struct {
	n, k   int
	u      float64 // the k-th greatest
	sum    float64 // of the excesses over u that independent pictures would have
	degree float64 // how many excesses that is
}

func fitTail(s sample) (tail, error) {
	n, effective := len(s.falling), s.effective()
	// A tenth at least, so that every target lies in the tail.
	k := s.design * min(max(effective/4, leastTail), max(mostTail, effective/10))
	t := tail{n: n, k: min(int(math.Ceil(k)), n)}
	t.degree = max(float64(t.k)/s.design, leastTail) - 1
	t.u = s.falling[t.k-1]
	for _, v := range s.falling[:t.k] {
		t.sum += v - t.u
	}
	if t.sum <= 0 {
		return t, fmt.Errorf("the %d greatest scores of %d good pictures are all %g: the pictures are copies of one another", t.k, n, t.u)
	}
	t.sum *= t.degree / float64(t.k-1)
	return t, nil
}

// above is the probability that a new score is above u.
func (t tail) above() float64 { return float64(t.k) / float64(t.n+1) }

// value is the threshold for a rate in ten thousand.
func (t tail) value(rate float64) float64 {
	return t.u + t.sum*(math.Pow(10000*t.above()/rate, 1/t.degree)-1)
}

// rate is the rate in ten thousand that a threshold is expected to have.
func (t tail) rate(value float64) float64 {
	return 10000 * t.above() * math.Pow(1+(value-t.u)/t.sum, -t.degree)
}
