// Package evaluate says how well scores tell bad parts from good ones. It works on raw scores only:
// clamped or rounded ones have ties that a threshold cannot break.
package evaluate

import (
	"cmp"
	"math"
	"slices"
)

// AUROC is the probability that a bad part scores higher than a good one, ties counting half (Mann and
// Whitney, 1947). It is NaN where either side has no score, or one that is NaN.
func AUROC(good, bad []float64) float64 {
	if len(good) == 0 || len(bad) == 0 || slices.ContainsFunc(good, math.IsNaN) || slices.ContainsFunc(bad, math.IsNaN) {
		return math.NaN()
	}
	type scored struct {
		score float64
		bad   bool
	}
	var all []scored
	for _, s := range good {
		all = append(all, scored{s, false})
	}
	for _, s := range bad {
		all = append(all, scored{s, true})
	}
	slices.SortFunc(all, func(a, b scored) int { return cmp.Compare(a.score, b.score) })
	var wins, below float64
	for i := 0; i < len(all); {
		var goods, bads float64
		j := i
		for ; j < len(all) && all[j].score == all[i].score; j++ {
			if all[j].bad {
				bads++
			} else {
				goods++
			}
		}
		wins += bads * (below + goods/2)
		below += goods
		i = j
	}
	return wins / (float64(len(good)) * float64(len(bad)))
}
