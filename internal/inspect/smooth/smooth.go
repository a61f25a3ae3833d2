// Package smooth enlarges a grid of patch distances to the size of the network's input and smooths it, as
// anomalib does before it shows an anomaly map or, with PaDiM, takes its maximum.
//
// Enlarging and the Gaussian are linear and separable, so that both together are one matrix on each side:
// out = rows · grid · columnsᵀ. That gives the same numbers as a 33 x 33 convolution at a hundredth of
// its cost.
//
// MaxMean is the score of a grid that has been averaged over 3 x 3 cells and not enlarged.
package smooth

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
)

// Mode says how a grid is enlarged before it is smoothed.
type Mode int

// anomalib enlarges the grid of PatchCore by repeating cells and that of PaDiM bilinearly.
const (
	Nearest Mode = iota
	Bilinear
)

// The Gaussian of anomalib's maps: sigma 4 pixels, cut at four sigma, its sum made one.
const (
	sigma  = 4
	radius = 16
)

// Smoother turns grids of one size into maps of another. Not for concurrent use.
type Smoother struct {
	rows, columns, half blas32.General
	out                 blas32.General
}

// New makes a smoother from grids of width x height cells to maps of toWidth x toHeight pixels. Edges are
// reflected without repeating the edge pixel, so a map must be more than 16 pixels wide and high.
func New(mode Mode, width, height, toWidth, toHeight int) (*Smoother, error) {
	if width < 1 || height < 1 || toWidth <= radius || toHeight <= radius {
		return nil, fmt.Errorf("a map of %dx%d from %dx%d cells cannot be smoothed; it must be more than %d pixels wide and high", toWidth, toHeight, width, height, radius)
	}
	return &Smoother{
		rows:    band(mode, height, toHeight),
		columns: band(mode, width, toWidth),
		half:    zeros(toHeight, width),
		out:     zeros(toHeight, toWidth),
	}, nil
}

// Map returns the enlarged and smoothed grid, row by row; it is overwritten by the next call. cells are
// width x height numbers, row by row.
func (s *Smoother) Map(cells []float32) []float32 {
	grid := blas32.General{Rows: s.rows.Cols, Cols: s.columns.Cols, Stride: s.columns.Cols, Data: cells}
	blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, s.rows, grid, 0, s.half)
	blas32.Gemm(blas.NoTrans, blas.Trans, 1, s.half, s.columns, 0, s.out)
	return s.out.Data
}

// Greatest is the greatest value of Map over each cell, as a grid like cells.
func (s *Smoother) Greatest(cells []float32) []float32 {
	greatest := make([]float32, len(cells))
	for i, v := range s.Map(cells) {
		x, y := i%s.out.Cols, i/s.out.Cols
		cell := y*s.rows.Cols/s.out.Rows*s.columns.Cols + x*s.columns.Cols/s.out.Cols
		greatest[cell] = max(greatest[cell], v)
	}
	return greatest
}

func zeros(rows, columns int) blas32.General {
	return blas32.General{Rows: rows, Cols: columns, Stride: columns, Data: make([]float32, rows*columns)}
}

// band is the matrix [to, from] of the Gaussian times that of the enlarging, along one side.
func band(mode Mode, from, to int) blas32.General {
	kernel := make([]float64, 2*radius+1)
	var sum float64
	for i := range kernel {
		d := float64(i - radius)
		kernel[i] = math.Exp(-d * d / (2 * sigma * sigma))
		sum += kernel[i]
	}
	enlarged := make([][]float64, to)
	for i := range enlarged {
		enlarged[i] = weights(mode, i, from, to)
	}
	m := zeros(to, from)
	for i := range to {
		row := make([]float64, from)
		for k, weight := range kernel {
			for j, w := range enlarged[reflect(i+k-radius, to)] {
				row[j] += weight / sum * w
			}
		}
		for j, w := range row {
			m.Data[i*from+j] = float32(w)
		}
	}
	return m
}

// weights says of which cells pixel i is made, as torch's interpolate with align_corners=False.
func weights(mode Mode, i, from, to int) []float64 {
	w := make([]float64, from)
	if mode == Nearest {
		w[i*from/to] = 1
		return w
	}
	at := max(0, (float64(i)+0.5)*float64(from)/float64(to)-0.5)
	low := min(int(at), from-1)
	share := at - float64(low)
	w[low] += 1 - share
	w[min(low+1, from-1)] += share
	return w
}

// reflect folds an index back at the edges: -1 is 1, n is n-2.
func reflect(i, n int) int {
	if i < 0 {
		i = -i
	}
	if i >= n {
		i = 2*(n-1) - i
	}
	return i
}
