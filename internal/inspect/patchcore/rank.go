package patchcore

import (
	"cmp"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// spearman is the correlation of ranks; equal values share their mean rank.
func spearman(x, y []float64) float64 { return stat.Correlation(ranks(x), ranks(y), nil) }

func ranks(values []float64) []float64 {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	ranks := make([]float64, len(values))
	for i := 0; i < len(order); {
		end := i + 1
		for end < len(order) && values[order[end]] == values[order[i]] {
			end++
		}
		for _, j := range order[i:end] {
			ranks[j] = float64(i+end-1) / 2
		}
		i = end
	}
	return ranks
}
