package patchcore

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
)

// Bank is the memory bank: vectors of good patches, one a row.
type Bank struct {
	Rows, Dim int
	Vectors   []float32 // Rows x Dim
	Origin    []Origin  // where each row came from; nil where that is not known
}

// Origin is the patch of a training picture that a row of the bank was taken from.
type Origin struct{ Picture, Cell int32 }

// check refuses a bank that does not fit patches of dim numbers.
func (b Bank) check(dim int) error {
	if dim != b.Dim || b.Rows < 1 || len(b.Vectors) != b.Rows*b.Dim {
		return fmt.Errorf("bank of %d x %d with %d numbers; patches have %d", b.Rows, b.Dim, len(b.Vectors), dim)
	}
	return nil
}

func (b Bank) vector(row int) []float32 { return b.Vectors[row*b.Dim : (row+1)*b.Dim] }

// norms is |b|² of every row.
func (b Bank) norms() []float32 {
	norms := make([]float32, b.Rows)
	for i := range norms {
		norms[i] = float32(square(b.vector(i)))
	}
	return norms
}

func square(v []float32) (sum float64) {
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return sum
}

// distance is that of two vectors, summed in float64.
func distance(a, b []float32) float64 {
	var sum float64
	for i, x := range a {
		d := float64(x) - float64(b[i])
		sum += d * d
	}
	return math.Sqrt(sum)
}

// search finds exact distances to the rows of a bank, one vector at a time. Not for concurrent use.
type search struct {
	bank    Bank
	norms   []float32
	bracket []float32 // of the vector asked for last: |b|² - 2qb for every row b
}

func newSearch(b Bank) *search { return &search{b, b.norms(), make([]float32, b.Rows)} }

// rank fills bracket: the rows in the order of their distance to q.
func (s *search) rank(q []float32) {
	copy(s.bracket, s.norms)
	blas32.Gemv(blas.NoTrans, -2, blas32.General{Rows: s.bank.Rows, Cols: s.bank.Dim, Stride: s.bank.Dim, Data: s.bank.Vectors},
		blas32.Vector{N: s.bank.Dim, Inc: 1, Data: q}, 1, blas32.Vector{N: s.bank.Rows, Inc: 1, Data: s.bracket})
}

// nearest is the row nearest to q and its distance: the row by the expanded form, the distance by the
// differences, which no cancellation spoils.
func (s *search) nearest(q []float32) (row int, d float64) {
	s.rank(q)
	for i, v := range s.bracket {
		if v < s.bracket[row] {
			row = i
		}
	}
	return row, distance(q, s.bank.vector(row))
}

// neighbours is how many bank vectors around the nearest one weigh anomalib's score.
const neighbours = 9

// weight is anomalib's w of a patch q whose nearest row and its distance are given: one minus the share
// of that distance in the softmax of q's distances to the row's nearest rows, itself among them.
func (s *search) weight(q []float32, row int, d float64) float64 {
	s.rank(s.bank.vector(row))
	// The row itself stands first, whatever rounding says.
	near := []int{row}
	for i, v := range s.bracket {
		if i == row || len(near) == neighbours && v >= s.bracket[near[neighbours-1]] {
			continue
		}
		if len(near) < neighbours {
			near = append(near, i)
		} else {
			near[neighbours-1] = i
		}
		for j := len(near) - 1; j > 1 && s.bracket[near[j]] < s.bracket[near[j-1]]; j-- {
			near[j], near[j-1] = near[j-1], near[j]
		}
	}
	var sum float64
	for _, i := range near {
		sum += math.Exp(distance(q, s.bank.vector(i)) - d)
	}
	return 1 - 1/sum
}
