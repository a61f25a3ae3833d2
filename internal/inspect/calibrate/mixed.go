package calibrate

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas/blas32"
)

const (
	// A normal distribution cut into its two best halves leaves 1-2/π = 36 % of its variance within them, a
	// uniform one 25 %. Two kinds leave far less.
	leftWithin = 0.08
	leastKind  = 0.1 // share of the pictures that is a kind, and no stray
	mainShare  = 0.3 // of all variance that the direction must explain
)

// Mixed tells whether pictures are of two kinds, and which are which: along the direction in which their
// descriptors [n, dim] vary most, they form two heaps with nothing between them.
func Mixed(descriptors []float32, dim int) (a, b []int, ok bool) {
	n := len(descriptors) / max(1, dim)
	if n < Minimum {
		return nil, nil, false
	}
	mean := make([]float32, dim)
	for i := range n {
		blas32.Axpy(1/float32(n), vector(descriptors[i*dim:(i+1)*dim]), vector(mean))
	}
	centred := slices.Clone(descriptors)
	var whole float64
	for i := range n {
		row := vector(centred[i*dim : (i+1)*dim])
		blas32.Axpy(-1, vector(mean), row)
		length := float64(blas32.Nrm2(row))
		whole += length * length
	}
	along := mainDirection(centred, n, dim)
	order := make([]int, n)
	place := make([]float64, n)
	var variance float64
	for i := range n {
		order[i] = i
		place[i] = float64(blas32.Dot(vector(centred[i*dim:(i+1)*dim]), vector(along)))
		variance += place[i] * place[i]
	}
	if !(variance > mainShare*whole) {
		return nil, nil, false
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(place[a], place[b]) })
	// Places sum to 0, so with the first i of them summing to s the variance between is s²/i + s²/(n-i).
	var sum, best float64
	cut := 0
	for i, p := range order[:n-1] {
		sum += place[p]
		first := float64(i + 1)
		if between := sum*sum/first + sum*sum/(float64(n)-first); between > best {
			best, cut = between, i+1
		}
	}
	if variance-best > leftWithin*variance || min(cut, n-cut) < int(math.Ceil(leastKind*float64(n))) {
		return nil, nil, false
	}
	a, b = order[:cut], order[cut:]
	if len(a) < len(b) {
		a, b = b, a
	}
	return a, b, true
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
