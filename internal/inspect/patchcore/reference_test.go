package patchcore

import (
	"cmp"
	"math"
	"slices"
)

// The reference: PatchCore in plain Go and float64, written from the description of anomalib's code and
// not from this package. It is the judge of the graphs.

// maps is a feature map [channels][height][width].
type maps [][][]float64

func unflatten(values []float32, channels, height, width int) maps {
	m := make(maps, channels)
	for c := range m {
		m[c] = make([][]float64, height)
		for y := range m[c] {
			m[c][y] = make([]float64, width)
			for x := range m[c][y] {
				m[c][y][x] = float64(values[(c*height+y)*width+x])
			}
		}
	}
	return m
}

// pool is AvgPool2d(3, stride 1, padding 1) with count_include_pad: always divided by nine.
func pool(m maps) maps {
	out := make(maps, len(m))
	for c := range m {
		out[c] = make([][]float64, len(m[c]))
		for y := range m[c] {
			out[c][y] = make([]float64, len(m[c][y]))
			for x := range m[c][y] {
				for dy := -1; dy <= 1; dy++ {
					for dx := -1; dx <= 1; dx++ {
						if yy, xx := y+dy, x+dx; yy >= 0 && yy < len(m[c]) && xx >= 0 && xx < len(m[c][y]) {
							out[c][y][x] += m[c][yy][xx] / 9
						}
					}
				}
			}
		}
	}
	return out
}

// bilinear is interpolate(mode="bilinear", align_corners=False).
func bilinear(m maps, height, width int) maps {
	at := func(i, n, cells int) (int, int, float64) {
		s := math.Max((float64(i)+0.5)*float64(cells)/float64(n)-0.5, 0)
		low := min(int(s), cells-1)
		return low, min(low+1, cells-1), s - float64(low)
	}
	out := make(maps, len(m))
	for c := range m {
		out[c] = make([][]float64, height)
		for y := range height {
			out[c][y] = make([]float64, width)
			y0, y1, v := at(y, height, len(m[c]))
			for x := range width {
				x0, x1, u := at(x, width, len(m[c][0]))
				out[c][y][x] = (1-v)*((1-u)*m[c][y0][x0]+u*m[c][y0][x1]) + v*((1-u)*m[c][y1][x0]+u*m[c][y1][x1])
			}
		}
	}
	return out
}

// embed gives the patches, row by row of the finest layer's grid.
func embed(layers []maps) [][]float64 {
	height, width := len(layers[0][0]), len(layers[0][0][0])
	patches := make([][]float64, height*width)
	for _, l := range layers {
		up := bilinear(pool(l), height, width)
		for i := range patches {
			for c := range up {
				patches[i] = append(patches[i], up[c][i/width][i%width])
			}
		}
	}
	return patches
}

// nearest is the distance of each patch to the nearest vector of the bank.
func nearest(patches [][]float64, bank Bank) []float64 {
	out := make([]float64, len(patches))
	for i, p := range patches {
		least := math.Inf(1)
		for row := range bank.Rows {
			var sum float64
			for j, v := range p {
				d := v - float64(bank.Vectors[row*bank.Dim+j])
				sum += d * d
			}
			least = min(least, sum)
		}
		out[i] = math.Sqrt(least)
	}
	return out
}

// score is the picture's score of anomalib (reweighted) and of the other names; rows of the grid are width long.
func score(patches [][]float64, width int, bank Bank, o Options) float64 {
	distances := nearest(patches, bank)
	falling := slices.Sorted(slices.Values(distances))
	slices.Reverse(falling)
	switch o.Score {
	case MeanTopK:
		k := min(o.TopK, len(falling))
		var sum float64
		for _, d := range falling[:k] {
			sum += d / float64(k)
		}
		return sum
	case MaxMean: // as an average pool that leaves out the padding, count_include_pad=False
		var greatest float64
		for i := range distances {
			var sum, n float64
			for j, d := range distances {
				if dx, dy := i%width-j%width, i/width-j/width; dx*dx <= 1 && dy*dy <= 1 {
					sum, n = sum+d, n+1
				}
			}
			greatest = max(greatest, sum/n)
		}
		return greatest
	case Reweighted:
		to := func(p []float64) []float64 { // distances of p to every row
			out := make([]float64, bank.Rows)
			for row := range out {
				out[row] = nearest([][]float64{p}, Bank{Rows: 1, Dim: bank.Dim, Vectors: bank.vector(row)})[0]
			}
			return out
		}
		p := patches[slices.Index(distances, falling[0])]
		all := to(p)
		closest := slices.Index(all, slices.Min(all))
		var m []float64
		for _, v := range bank.vector(closest) {
			m = append(m, float64(v))
		}
		around := to(m)
		rows := make([]int, bank.Rows)
		for i := range rows {
			rows[i] = i
		}
		slices.SortFunc(rows, func(a, b int) int { return cmp.Compare(around[a], around[b]) })
		var sum float64
		for _, row := range rows[:9] {
			sum += math.Exp(all[row])
		}
		return (1 - math.Exp(all[closest])/sum) * falling[0]
	}
	return falling[0]
}

// greedy is k-center greedy with every distance computed, ties going to the lower row.
func greedy(points []float64, dim int, rows []int, size, first int) []int {
	distance := make([]float64, len(rows))
	for i := range distance {
		distance[i] = math.Inf(1)
	}
	chosen := []int{first}
	for len(chosen) < size {
		last := chosen[len(chosen)-1]
		far := 0
		for i, row := range rows {
			var sum float64
			for j := range dim {
				d := points[row*dim+j] - points[last*dim+j]
				sum += d * d
			}
			distance[i] = min(distance[i], sum)
			if distance[i] > distance[far] {
				far = i
			}
		}
		if distance[far] <= 0 {
			break
		}
		chosen = append(chosen, rows[far])
	}
	return chosen
}

// lacking is the reference of Extend: every distance computed anew for every choice.
func lacking(points []float64, dim int, held, rows []int, most int) (added []int) {
	squared := func(a, b int) (sum float64) {
		for j := range dim {
			d := points[a*dim+j] - points[b*dim+j]
			sum += d * d
		}
		return sum
	}
	least := 0.0
	if len(held) > 1 {
		least = math.Inf(1)
	}
	for i, a := range held {
		for _, b := range held[:i] {
			least = min(least, squared(a, b))
		}
	}
	for len(added) < most {
		far, distance := -1, least
		for _, row := range rows {
			d := math.Inf(1)
			for _, other := range slices.Concat(held, added) {
				d = min(d, squared(row, other))
			}
			if d > distance {
				far, distance = row, d
			}
		}
		if far < 0 {
			break
		}
		added = append(added, far)
	}
	return added
}
