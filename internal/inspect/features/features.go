// Package features shows what a network sees in a picture: channels, their mean, and the three directions in
// which they differ most. It is how one sees whether a network notices anything on a part at all. It judges
// nothing.
package features

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// Layer is one feature map of a picture: Channels x Height x Width.
type Layer struct {
	Name                    string
	Channels, Width, Height int
	Values                  []float32
}

// Check refuses what has no picture in it: a size that does not fit, or values that are no numbers.
func (l Layer) Check() error {
	if l.Channels < 1 || l.Width < 1 || l.Height < 1 || len(l.Values) != l.Channels*l.Width*l.Height {
		return fmt.Errorf("layer %s: %d values for %d channels of %dx%d", l.Name, len(l.Values), l.Channels, l.Width, l.Height)
	}
	for i, v := range l.Values {
		if v != v || math.IsInf(float64(v), 0) {
			return fmt.Errorf("layer %s: channel %d holds %g", l.Name, i/(l.Width*l.Height), v)
		}
	}
	return nil
}

// Channel is one channel, row by row.
func (l Layer) Channel(c int) []float32 {
	cells := l.Width * l.Height
	return l.Values[c*cells : (c+1)*cells]
}

// Mean is the mean of all channels at each cell.
func (l Layer) Mean() []float32 {
	mean := make([]float32, l.Width*l.Height)
	for c := range l.Channels {
		for i, v := range l.Channel(c) {
			mean[i] += v / float32(l.Channels)
		}
	}
	return mean
}

// Strongest is the n channels that vary most over the picture, the most varied first: one that answers the same
// everywhere says nothing about this part.
func (l Layer) Strongest(n int) []int {
	spread := make([]float64, l.Channels)
	order := make([]int, l.Channels)
	for c := range order {
		order[c] = c
		var sum, squares float64
		for _, v := range l.Channel(c) {
			sum += float64(v)
			squares += float64(v) * float64(v)
		}
		cells := float64(l.Width * l.Height)
		spread[c] = squares/cells - sum/cells*(sum/cells)
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case spread[a] > spread[b]:
			return -1
		case spread[a] < spread[b]:
			return 1
		}
		return 0
	})
	return order[:min(n, len(order))]
}

// Components are the cells' coordinates along the three principal components of their channels, and the shares of
// the variance that these explain. Of the two signs of a component it is the one whose greatest coordinate
// is positive. A component that is not there (two cells differ in one direction only) is zero.
func (l Layer) Components() (along [3][]float32, share [3]float64, err error) {
	cells := l.Width * l.Height
	centred := mat.NewDense(l.Channels, cells, nil)
	for c := range l.Channels {
		row := centred.RawRowView(c)
		var sum float64
		for i, v := range l.Channel(c) {
			row[i] = float64(v)
			sum += row[i]
		}
		for i := range row {
			row[i] -= sum / float64(cells)
		}
	}
	// XᵀX and XXᵀ have the same eigenvalues; the smaller one is decomposed.
	n := min(l.Channels, cells)
	product := mat.NewSymDense(n, nil)
	if l.Channels <= cells {
		product.SymOuterK(1, centred)
	} else {
		product.SymOuterK(1, centred.T())
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(product, true) {
		return along, share, errors.New("layer " + l.Name + ": the principal components do not converge")
	}
	values := eigen.Values(nil) // ascending
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	total := mat.Trace(product)
	for k := range along {
		along[k] = make([]float32, cells)
		if k >= n || !(values[n-1-k] > 1e-12*total) {
			continue
		}
		share[k] = values[n-1-k] / total
		coordinates := mat.NewVecDense(cells, nil)
		if l.Channels <= cells {
			coordinates.MulVec(centred.T(), vectors.ColView(n-1-k))
		} else {
			coordinates.ScaleVec(math.Sqrt(values[n-1-k]), vectors.ColView(n-1-k))
		}
		sign, greatest := 1.0, 0.0
		for i := range cells {
			if v := coordinates.AtVec(i); math.Abs(v) > greatest*(1+1e-9) {
				greatest, sign = math.Abs(v), math.Copysign(1, v)
			}
		}
		for i := range cells {
			along[k][i] = float32(sign * coordinates.AtVec(i))
		}
	}
	return along, share, nil
}
