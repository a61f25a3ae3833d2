package smooth

import "iter"

// MaxMean is the greatest mean of 3 x 3 neighbouring cells of a grid, row by row. A neighbour beyond the edge
// does not count, nor does a cell that is not in, where in is not nil. It is 0 where no cell is in, and NaN where
// any counted cell is.
//
// One patch may lie far from a memory bank by chance; a defect lifts its neighbours as well.
func MaxMean(cells []float32, width, height int, in func(cell int) bool) float64 {
	var greatest float64
	for cell := range cells {
		if in == nil || in(cell) {
			greatest = max(greatest, mean(cells, width, height, cell, in)) // max carries NaN
		}
	}
	return greatest
}

// Means is the map of which MaxMean is the greatest value: each cell the mean of those around it that are of the same place. places is the place of
// each cell.
func Means(cells []float32, width, height int, places []int) []float32 {
	means := make([]float32, len(cells))
	for cell := range cells {
		means[cell] = float32(mean(cells, width, height, cell, func(other int) bool { return places[other] == places[cell] }))
	}
	return means
}

// mean is that of the cell, which is in, and of those around it that are.
func mean(cells []float32, width, height, cell int, in func(cell int) bool) float64 {
	var sum float64
	n := 0
	for near := range Around(cell, width, height) {
		if in == nil || in(near) {
			sum += float64(cells[near])
			n++
		}
	}
	return sum / float64(n)
}

// Around is the cells of the 3 x 3 around a cell, itself among them, that lie on a grid of width x height.
func Around(cell, width, height int) iter.Seq[int] {
	x, y := cell%width, cell/width
	return func(yield func(int) bool) {
		for v := max(0, y-1); v <= min(height-1, y+1); v++ {
			for u := max(0, x-1); u <= min(width-1, x+1); u++ {
				if !yield(v*width + u) {
					return
				}
			}
		}
	}
}
