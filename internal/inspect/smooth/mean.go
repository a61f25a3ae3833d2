package smooth

// MaxMean is the greatest mean of 3 x 3 neighbouring cells of a grid, row by row. A neighbour beyond the edge
// does not count, nor does a cell that is not in, where in is not nil. It is 0 where no cell is in, and NaN where
// any counted cell is.
//
// One patch may lie far from a memory bank by chance; a defect lifts its neighbours as well.
func MaxMean(cells []float32, width, height int, in func(cell int) bool) float64 {
	var greatest float64
	for y := range height {
		for x := range width {
			if in != nil && !in(y*width+x) {
				continue
			}
			var sum float64
			n := 0
			for v := max(0, y-1); v <= min(height-1, y+1); v++ {
				for u := max(0, x-1); u <= min(width-1, x+1); u++ {
					if cell := v*width + u; in == nil || in(cell) {
						sum += float64(cells[cell])
						n++
					}
				}
			}
			greatest = max(greatest, sum/float64(n)) // max carries NaN
		}
	}
	return greatest
}
