package calibrate

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas/blas32"
)

// leftWithin bounds what cutting the places along a direction into so many heaps may leave of their variance within
// the heaps. A normal distribution that is cut at best leaves 36, 19 and 12 % (Max, "Quantizing for minimum distortion",
// 1960), a uniform one 25, 11 and 6 %. As many kinds leave far less.
var leftWithin = []float64{2: 0.08, 3: 0.04, 4: 0.025}

const (
	leastKind = 0.1 // share of the pictures that is a kind, and no stray
	mainShare = 0.3 // of all variance that the direction must explain
)

// Kinds tells which pictures are of which kind, the commonest kind first: along the direction in which the
// descriptors [n, dim] vary most they form heaps with nothing between them, and so on within each heap. All that are of
// one kind are nil.
func Kinds(descriptors []float32, dim int) (kinds [][]int) {
	n := len(descriptors) / max(1, dim)
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	least := int(math.Ceil(leastKind * float64(n)))
	if kinds = split(descriptors, dim, all, least); len(kinds) == 1 {
		return nil
	}
	slices.SortStableFunc(kinds, func(a, b []int) int { return cmp.Compare(len(b), len(a)) })
	return kinds
}

// split splits those of the pictures until each part is of one kind, of at least so many pictures.
func split(descriptors []float32, dim int, of []int, least int) (kinds [][]int) {
	n := len(of)
	if n < Minimum {
		return [][]int{of}
	}
	mean, centred := make([]float32, dim), make([]float32, 0, n*dim)
	for _, i := range of {
		row := descriptors[i*dim : (i+1)*dim]
		centred = append(centred, row...)
		blas32.Axpy(1/float32(n), vector(row), vector(mean))
	}
	var whole float64
	for i := range n {
		row := vector(centred[i*dim : (i+1)*dim])
		blas32.Axpy(-1, vector(mean), row)
		length := float64(blas32.Nrm2(row))
		whole += length * length
	}
	along := mainDirection(centred, n, dim)
	type picture struct {
		number int
		place  float64
	}
	order, variance := make([]picture, n), 0.0
	for i := range n {
		place := float64(blas32.Dot(vector(centred[i*dim:(i+1)*dim]), vector(along)))
		order[i] = picture{of[i], place}
		variance += place * place
	}
	if !(variance > mainShare*whole) {
		return [][]int{of}
	}
	slices.SortStableFunc(order, func(a, b picture) int { return cmp.Compare(a.place, b.place) })
	places := make([]float64, n)
	for i, p := range order {
		places[i] = p.place
	}
	for heaps := 2; heaps < len(leftWithin); heaps++ {
		ends, within := cut(places, heaps, least)
		if !(within <= leftWithin[heaps]*variance) {
			continue
		}
		begin := 0
		for _, end := range ends {
			heap := make([]int, 0, end-begin)
			for _, p := range order[begin:end] {
				heap = append(heap, p.number)
			}
			kinds = append(kinds, split(descriptors, dim, heap, least)...)
			begin = end
		}
		return kinds
	}
	return [][]int{of}
}

// cut cuts sorted places into heaps of at least so many places, so that the sum of squares within them is least: where
// each heap ends, and that sum; +Inf where there are too few places. By dynamic programming (Fisher, "On grouping for
// maximum homogeneity", 1958).
func cut(places []float64, heaps, least int) (ends []int, within float64) {
	n := len(places)
	least = max(1, least)
	sum, squares := make([]float64, n+1), make([]float64, n+1)
	for i, p := range places {
		sum[i+1], squares[i+1] = sum[i]+p, squares[i]+p*p
	}
	cost := func(begin, end int) float64 {
		s := sum[end] - sum[begin]
		return squares[end] - squares[begin] - s*s/float64(end-begin)
	}
	best := make([]float64, n+1) // of the first i places in the heaps so far
	for i := range best {
		best[i] = math.Inf(1)
	}
	best[0] = 0
	begins := make([][]int, heaps)
	for h := range heaps {
		next := make([]float64, n+1)
		begins[h] = make([]int, n+1)
		for end := range next {
			next[end] = math.Inf(1)
			for begin := 0; begin <= end-least; begin++ {
				if c := best[begin] + cost(begin, end); c < next[end] {
					next[end], begins[h][end] = c, begin
				}
			}
		}
		best = next
	}
	if math.IsInf(best[n], 1) {
		return nil, best[n]
	}
	ends = make([]int, heaps)
	end := n
	for h := heaps - 1; h >= 0; h-- {
		ends[h], end = end, begins[h][end]
	}
	return ends, best[n]
}

// mainDirection is the direction of the greatest variance, by power iteration.
func mainDirection(centred []float32, n, dim int) []float32 {
	along, next := make([]float32, dim), make([]float32, dim)
	longest := 0
	for i := range n { // a start that cannot be at a right angle to it
		if blas32.Nrm2(vector(centred[i*dim:(i+1)*dim])) > blas32.Nrm2(vector(centred[longest*dim:(longest+1)*dim])) {
			longest = i
		}
	}
	copy(along, centred[longest*dim:(longest+1)*dim])
	for range 30 {
		clear(next)
		for i := range n {
			row := vector(centred[i*dim : (i+1)*dim])
			blas32.Axpy(blas32.Dot(row, vector(along)), row, vector(next))
		}
		length := blas32.Nrm2(vector(next))
		if length == 0 {
			break
		}
		blas32.Scal(1/length, vector(next))
		along, next = next, along
	}
	return along
}

func vector(v []float32) blas32.Vector { return blas32.Vector{N: len(v), Inc: 1, Data: v} }
