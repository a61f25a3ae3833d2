package store

import (
	"context"
	"math"

	"linectl/internal/part"
)

// Cumulative is what the heatmaps of many parts come to, cell by cell, in units of each part's own threshold: recipes have scores
// of scales of their own.
type Cumulative struct {
	Mean, Max part.Map
	Parts     int64 // that have a heatmap of this size
	Others    int64 // whose heatmap is of another size
}

// Accumulate takes the heatmaps of the parts that match. The size is that of the newest part's; a cell that
// is no number in one part's map counts as nothing there. Late findings count as well.
func (r *Reader) Accumulate(ctx context.Context, f Filter) (c Cumulative, err error) {
	var sums []float64
	var counts []int64
	for p, err := range r.Find(ctx, f) {
		if err != nil {
			return Cumulative{}, err
		}
		m, err := r.heatmap(ctx, p.ID)
		if err != nil {
			return Cumulative{}, err
		}
		if m.Cells == nil || !(p.Threshold > 0) {
			continue
		}
		width, height := m.Width, m.Height
		if c.Parts == 0 {
			c.Max = part.Map{Width: width, Height: height, Cells: make([]float32, width*height)}
			for i := range c.Max.Cells {
				c.Max.Cells[i] = float32(math.NaN())
			}
			sums, counts = make([]float64, width*height), make([]int64, width*height)
		}
		if width != c.Max.Width || height != c.Max.Height {
			c.Others++
			continue
		}
		c.Parts++
		for i, v := range m.Cells {
			if v != v {
				continue
			}
			v /= float32(p.Threshold)
			sums[i] += float64(v)
			counts[i]++
			if !(c.Max.Cells[i] >= v) {
				c.Max.Cells[i] = v
			}
		}
	}
	c.Mean = part.Map{Width: c.Max.Width, Height: c.Max.Height, Cells: make([]float32, len(sums))}
	for i := range sums {
		c.Mean.Cells[i] = float32(sums[i] / float64(counts[i]))
	}
	return c, nil
}
