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

// inner is the cells that are not at the rim, an eighth of each side. At the rim a network sees the zeros that are put
// around a picture, and answers that edge more strongly than anything on the part.
func (l Layer) inner() (cells []int) {
	left, top := (l.Width+4)/8, (l.Height+4)/8
	for y := top; y < l.Height-top; y++ {
		for x := left; x < l.Width-left; x++ {
			cells = append(cells, y*l.Width+x)
		}
	}
	return cells
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

// Strongest is the n channels that vary most over the picture, its rim excepted, the most varied first: one that answers
// the same everywhere says nothing about this part.
func (l Layer) Strongest(n int) []int {
	spread := make([]float64, l.Channels)
	order := make([]int, l.Channels)
	inner := l.inner()
	cells := float64(len(inner))
	for c := range order {
		order[c] = c
		var sum, squares float64
		channel := l.Channel(c)
		for _, i := range inner {
			v := float64(channel[i])
			sum += v
			squares += v * v
		}
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

// Components are the cells' coordinates along the three principal components of the channels, and the shares of the
// variance that these explain, both found without the rim. Of the two signs of a component it is the one whose greatest coordinate
// is positive. A component that is not there (two cells differ in one direction only) is zero.
func (l Layer) Components() (along [3][]float32, share [3]float64, err error) {
	cells, inner := l.Width*l.Height, l.inner()
	centred, core := mat.NewDense(l.Channels, cells, nil), mat.NewDense(l.Channels, len(inner), nil)
	for c := range l.Channels {
		row, channel := centred.RawRowView(c), l.Channel(c)
		var sum float64
		for _, i := range inner {
			sum += float64(channel[i])
		}
		for i, v := range channel {
			row[i] = float64(v) - sum/float64(len(inner))
		}
		for k, i := range inner {
			core.Set(c, k, row[i])
		}
	}
	// XᵀX and XXᵀ have the same eigenvalues; the smaller one is decomposed.
	n := min(l.Channels, len(inner))
	product := mat.NewSymDense(n, nil)
	if l.Channels <= len(inner) {
		product.SymOuterK(1, core)
	} else {
		product.SymOuterK(1, core.T())
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
		direction := mat.NewVecDense(l.Channels, nil)
		if l.Channels <= len(inner) {
			direction.CopyVec(vectors.ColView(n - 1 - k))
		} else {
			direction.MulVec(core, vectors.ColView(n-1-k))
			direction.ScaleVec(1/math.Sqrt(values[n-1-k]), direction)
		}
		coordinates := mat.NewVecDense(cells, nil)
		coordinates.MulVec(centred.T(), direction)
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
