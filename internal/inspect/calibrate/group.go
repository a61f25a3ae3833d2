package calibrate

import (
	"cmp"
	"math"
	"slices"

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
// near-duplicates. Few parts differ in few directions, and in the rest only exposures of one part do; many are told
// apart best by many: so several k are tried, and the 5 % are those of all together.
//
// What hangs together by such pairs is a group if it stands apart: if its pictures are on average more alike than any of
// them is to one outside. Parts that differ in little but how they lie, as turned ones, hang together as well, each with the
// next, but nothing stands apart there.
func Group(descriptors []float32, dim int) []int {
	n := len(descriptors) / max(1, dim)
	points, most := whiten(descriptors, n, dim, min(n/4, mostDirections, dim))
	var ladder []int
	for k := leastDirections; k < most; k = k * 4 / 3 {
		ladder = append(ladder, k)
	}
	if most >= 3 {
		ladder = append(ladder, most)
	}
	var found [][]int
	for _, k := range ladder {
		half := float64(k-1) / 2
		tests := float64(n) * float64(n-1) / 2 * float64(len(ladder))
		cut := 2*distuv.Beta{Alpha: half, Beta: half}.Quantile(1-chance/tests) - 1
		found = append(found, standApart(unit(points, most, k), k, float32(cut))...)
	}
	// Of groups that overlap the greatest stands.
	slices.SortStableFunc(found, func(a, b []int) int { return cmp.Compare(len(b), len(a)) })
	first := make([]int, n) // of the group of each picture
	for i := range first {
		first[i] = i
	}
	taken := make([]bool, n)
	for _, group := range found {
		if slices.ContainsFunc(group, func(i int) bool { return taken[i] }) {
			continue
		}
		least := slices.Min(group)
		for _, i := range group {
			taken[i], first[i] = true, least
		}
	}
	groups, number := make([]int, n), make(map[int]int)
	for i, f := range first {
		if f == i {
			number[i] = len(number)
		}
		groups[i] = number[f]
	}
	return groups
}

// unit is the first k of each point's numbers, brought to length 1.
func unit(points []float32, stride, k int) []float32 {
	var out []float32
	for i := 0; i < len(points); i += stride {
		out = append(out, points[i:i+k]...)
		p := vector(out[len(out)-k:])
		if length := blas32.Nrm2(p); length > 0 {
			blas32.Scal(1/length, p)
		}
	}
	return out
}

// standApart gives the points [n, k], of length 1, that hang together by cosines above the cut and stand apart from all
// others, two or more together and none twice.
func standApart(points []float32, k int, cut float32) (apart [][]int) {
	n := len(points) / k
	cluster := make([]int, n)    // of each point: the one that its members and their sum lie at
	sums := slices.Clone(points) // of the points of a cluster
	members := make([][]int, n)
	within := make([][][]int, n) // what stands apart within it
	close := make([]bool, n)     // whether it hangs together by cosines above the cut
	for i := range n {
		cluster[i], members[i], close[i] = i, []int{i}, true
	}
	sum := func(i int) blas32.Vector { return vector(sums[i*k : (i+1)*k]) }
	for _, e := range spanningTree(points, k) {
		a, b := cluster[e.a], cluster[e.b]
		for _, c := range []int{a, b} {
			size := float32(len(members[c]))
			mean := (blas32.Dot(sum(c), sum(c)) - size) / (size * (size - 1)) // of all cosines within it; NaN for one point
			if close[c] && mean > e.cosine {
				within[c] = [][]int{slices.Clone(members[c])}
			}
		}
		if len(members[a]) < len(members[b]) {
			a, b = b, a
		}
		for _, i := range members[b] {
			cluster[i] = a
		}
		blas32.Axpy(1, sum(b), sum(a))
		members[a], within[a] = append(members[a], members[b]...), append(within[a], within[b]...)
		close[a] = close[a] && close[b] && e.cosine > cut
		apart = within[a]
	}
	return apart
}

type edge struct {
	a, b   int
	cosine float32
}

// spanningTree is the tree that joins the points [n, k] by the greatest cosines, the greatest first: what clusters merge by
// if the most alike merge first (single linkage; Gower and Ross, "Minimum spanning trees and single linkage cluster analysis",
// 1969). By Prim's algorithm.
func spanningTree(points []float32, k int) []edge {
	n := len(points) / k
	best := make([]edge, n) // from each point outside of the tree to the nearest one in it
	for i := range best {
		best[i] = edge{a: i, cosine: float32(math.Inf(-1))}
	}
	in := make([]bool, n)
	cosines := make([]float32, n)
	tree := make([]edge, 0, n)
	newest := 0
	for len(tree) < n-1 {
		in[newest] = true
		blas32.Gemv(blas.NoTrans, 1, blas32.General{Rows: n, Cols: k, Stride: k, Data: points}, vector(points[newest*k:(newest+1)*k]), 0, vector(cosines))
		next := -1
		for i := range n {
			if in[i] {
				continue
			}
			if cosines[i] > best[i].cosine {
				best[i].b, best[i].cosine = newest, cosines[i]
			}
			if next < 0 || best[i].cosine > best[next].cosine {
				next = i
			}
		}
		tree = append(tree, best[next])
		newest = next
	}
	slices.SortStableFunc(tree, func(a, b edge) int { return cmp.Compare(b.cosine, a.cosine) })
	return tree
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
