package calibrate

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat/distuv"
)

const (
	leastDirections, mostDirections = 6, 64

	chance = 0.05 // that a set without near-duplicates has two pictures put together
)

// Group finds pictures that show the same thing: several exposures of one part, or neighbours in a burst.
// descriptors [n, dim] say what each picture looks like as a whole. The result numbers the groups from 0
// in the order of the pictures.
//
// Where pictures differ by chance alone, descriptors that are centred and scaled to equal variance in their k main
// directions (whitened) point anywhere: the cosine c of two of them has the law of (1+c)/2 ~ Beta((k-1)/2, (k-1)/2).
// Two that are more alike than any of the n(n-1)/2 pairs would be with a probability of 5 % (Bonferroni) are
// near-duplicates, and so is what hangs together by such pairs. Few parts differ in few directions, and in the rest
// only exposures of one part do; many are told apart best by many: so several k are tried, and the 5 % are those of all
// together.
func Group(descriptors []float32, dim int) []int {
	n := len(descriptors) / max(1, dim)
	groups := make([]int, n)
	for i := range groups {
		groups[i] = i
	}
	points, most := whiten(descriptors, n, dim, min(n/4, mostDirections, dim))
	var ladder []int
	for k := leastDirections; k < most; k = k * 4 / 3 {
		ladder = append(ladder, k)
	}
	if most >= 3 {
		ladder = append(ladder, most)
	}
	dot := blas32.Implementation().Sdot
	root := func(i int) int {
		for groups[i] != i {
			groups[i] = groups[groups[i]]
			i = groups[i]
		}
		return i
	}
	length := make([]float64, n)
	for _, k := range ladder {
		at := func(i int) []float32 { return points[i*most : i*most+k] }
		half := float64(k-1) / 2
		tests := float64(n) * float64(n-1) / 2 * float64(len(ladder))
		cut := 2*distuv.Beta{Alpha: half, Beta: half}.Quantile(1-chance/tests) - 1
		for i := range n {
			length[i] = math.Sqrt(float64(dot(k, at(i), 1, at(i), 1)))
			for j := range i {
				if float64(dot(k, at(i), 1, at(j), 1)) > cut*length[i]*length[j] {
					if a, b := root(i), root(j); a != b {
						groups[max(a, b)] = min(a, b)
					}
				}
			}
		}
	}
	number := make(map[int]int)
	named := make([]int, n)
	for i := range n {
		r := root(i)
		if _, ok := number[r]; !ok {
			number[r] = len(number)
		}
		named[i] = number[r]
	}
	return named
}

// whiten projects descriptors on their k main directions, the greatest first and fewer where they have not so many, and scales
// each to the same variance.
func whiten(descriptors []float32, n, dim, k int) ([]float32, int) {
	if k == 0 {
		return nil, 0
	}
	centred := make([]float32, len(descriptors))
	for j := range dim {
		var sum float64
		for i := range n {
			sum += float64(descriptors[i*dim+j])
		}
		mean := sum / float64(n)
		for i := range n {
			centred[i*dim+j] = float32(float64(descriptors[i*dim+j]) - mean)
		}
	}
	covariance := mat.NewSymDense(dim, nil)
	row := make([]float64, dim)
	for i := range n {
		for j := range row {
			row[j] = float64(centred[i*dim+j])
		}
		covariance.SymRankOne(covariance, 1, mat.NewVecDense(dim, row))
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(covariance, true) {
		return nil, 0
	}
	values := eigen.Values(nil) // rising
	for k > 0 && !(values[dim-k] > 1e-6*values[dim-1]) {
		k--
	}
	if k == 0 {
		return nil, 0
	}
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	directions := make([]float32, dim*k)
	for j := range dim {
		for d := range k {
			directions[j*k+d] = float32(vectors.At(j, dim-1-d) / math.Sqrt(values[dim-1-d]))
		}
	}
	points := make([]float32, n*k)
	blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, blas32.General{Rows: n, Cols: dim, Stride: dim, Data: centred},
		blas32.General{Rows: dim, Cols: k, Stride: k, Data: directions}, 0, blas32.General{Rows: n, Cols: k, Stride: k, Data: points})
	return points, k
}
