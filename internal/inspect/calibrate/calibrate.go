// Package calibrate sets the threshold from the scores of good pictures that the memory bank had not
// seen, and says what it promises: how many good parts in ten thousand it will reject. It never asks
// what defects score.
package calibrate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Rule names how the threshold follows from the scores; a recipe keeps the name.
const Rule = "exponential-tail/1"

const (
	// Minimum is the least number of good pictures that a threshold can be set from.
	Minimum = 12
	// Enough is the number of good pictures from which on the promise is more than a guess.
	Enough = 100
	// LeastTarget and MostTarget bound what can be asked for.
	LeastTarget, MostTarget = 1, 500

	leastTail, mostTail = 4, 60
	counted             = 10 // scores above a threshold from which on they are counted
)

// Threshold is a limit for scores and what it promises: a part is rejected where score >= Value.
type Threshold struct {
	Value    float64 `toml:"value" comment:"reject where score >= value"`
	Rule     string  `toml:"rule"`
	Target   float64 `toml:"target" comment:"false rejects in 10,000 that were asked for"`
	Expected float64 `toml:"expected" comment:"false rejects in 10,000 that are expected"`
	Low      float64 `toml:"low" comment:"with 90 % probability they lie between low"`
	High     float64 `toml:"high" comment:"and high"`
	Scores   int     `toml:"scores" comment:"held-out good pictures behind this"`
	Tail     int     `toml:"tail" comment:"of which this many form the tail"`
	Greatest float64 `toml:"greatest" comment:"the greatest of their scores"`
}

// DefaultTarget is what is asked for where nobody says otherwise: as few false rejects as n pictures can
// speak for, which is one in n+1, but not fewer than 50 in 10,000. A smaller target reaches beyond what
// was seen, and lets more defects through.
func DefaultTarget(n int) float64 { return min(max(50, math.Ceil(10000/float64(n+1))), MostTarget) }

// Set sets the threshold for a target, in rejects of good parts in ten thousand.
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
// The interval is that of the true rate given the scores: the share above u is Beta(k, n-k+1), the
// inverse scale Gamma(k-1, S). Where ten scores or more may lie above the threshold, it is at least the
// score of that rank, whatever the tail is like: a new good score is above the r-th greatest of n with
// probability r/(n+1), and the true rate is Beta(r, n-r+1).
func Set(scores []float64, target float64) (Threshold, error) {
	if len(scores) < Minimum {
		return Threshold{}, fmt.Errorf("%d good pictures are too few to set a threshold; at least %d are needed, %d or more are better", len(scores), Minimum, Enough)
	}
	if target < LeastTarget || target > MostTarget {
		return Threshold{}, fmt.Errorf("%g false rejects in 10,000 cannot be promised; allowed is %d to %d", target, LeastTarget, MostTarget)
	}
	for _, s := range scores {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return Threshold{}, fmt.Errorf("a good picture scores %g", s)
		}
	}
	t, interval, err := place(scores, target)
	if err != nil {
		return Threshold{}, err
	}
	t.Low, t.High = interval()
	return t, nil
}

// place computes the threshold; its interval, which takes longer, is left to the function returned.
func place(scores []float64, target float64) (Threshold, func() (low, high float64), error) {
	sorted := slices.Sorted(slices.Values(scores))
	slices.Reverse(sorted)
	f, err := fitTail(sorted)
	if err != nil {
		return Threshold{}, nil, err
	}
	n := len(sorted)
	t := Threshold{Value: f.value(target), Rule: Rule, Target: target, Scores: n, Tail: f.k, Greatest: sorted[0]}
	if r := int(float64(n+1) * target / 10000); r >= counted && sorted[r-1] >= t.Value {
		t.Value, t.Expected = sorted[r-1], 10000*float64(r)/float64(n+1)
		return t, func() (low, high float64) {
			rate := distuv.Beta{Alpha: float64(r), Beta: float64(n - r + 1)}
			return 10000 * rate.Quantile(0.05), 10000 * rate.Quantile(0.95)
		}, nil
	}
	t.Expected = f.rate(t.Value)
	return t, func() (low, high float64) { return f.interval(t.Value) }, nil
}

// tail is what the k greatest of n scores come to.
type tail struct {
	n, k int
	u    float64 // the k-th greatest
	sum  float64 // of the excesses over u
}

func fitTail(falling []float64) (tail, error) {
	n := len(falling)
	t := tail{n: n, k: min(max(n/4, leastTail), max(mostTail, n/10))} // a tenth at least, so that every target lies in the tail
	t.u = falling[t.k-1]
	for _, s := range falling[:t.k] {
		t.sum += s - t.u
	}
	if t.sum <= 0 {
		return t, fmt.Errorf("the %d greatest scores of %d good pictures are all %g: the pictures are copies of one another", t.k, n, t.u)
	}
	return t, nil
}

// above is the probability that a new score is above u.
func (t tail) above() float64 { return float64(t.k) / float64(t.n+1) }

// value is the threshold for a rate in ten thousand.
func (t tail) value(rate float64) float64 {
	return t.u + t.sum*(math.Pow(10000*t.above()/rate, 1/float64(t.k-1))-1)
}

// rate is the rate in ten thousand that a threshold is expected to have.
func (t tail) rate(value float64) float64 {
	return 10000 * t.above() * math.Pow(1+(value-t.u)/t.sum, -float64(t.k-1))
}

// interval gives the 5 % and 95 % points of the true rate in ten thousand, by drawing.
func (t tail) interval(value float64) (low, high float64) {
	const draws = 20000
	source := rand.NewPCG(1, 2) // the same scores always make the same promise
	share := distuv.Beta{Alpha: float64(t.k), Beta: float64(t.n - t.k + 1), Src: source}
	inverse := distuv.Gamma{Alpha: float64(t.k - 1), Beta: t.sum, Src: source}
	rates := make([]float64, draws)
	for i := range rates {
		rates[i] = 10000 * share.Rand() * math.Exp(-(value-t.u)*inverse.Rand())
	}
	slices.Sort(rates)
	return rates[draws/20], rates[draws-draws/20]
}

// Folds divides n pictures, in their order, into runs of neighbours that are held out in turn. Pictures
// taken one after another look alike: dealt out at random, each would be judged by a bank that has
// seen its twin, and the promise would be too good.
func Folds(n, folds int) [][2]int {
	folds = min(folds, n)
	runs := make([][2]int, folds)
	for i := range runs {
		runs[i] = [2]int{i * n / folds, (i + 1) * n / folds}
	}
	return runs
}
