package patchcore

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"linectl/internal/inspect/network"
	"linectl/internal/inspect/onnx"
	"linectl/internal/part"
)

// Bank is the memory bank: vectors of good patches, one a row.
type Bank struct {
	Rows, Dim int
	Vectors   []float32 // Rows x Dim
	Origin    []Origin  // where each row comes from; nil where that is not known
}

// Origin is the patch that a row of the bank was taken from.
type Origin struct {
	Picture int32 // index among the training pictures
	Cell    int32 // of the grid, row by row
}

// Scorer gives each patch its distance to the nearest vector of a bank. Not for concurrent use.
type Scorer struct {
	options       Options
	width, height int
	bank          Bank
	squared       *network.Tensor // [grid]
	rows          *network.Tensor // [grid, dim]: the patches
	session       *network.Session
	distances     []float32 // of one patch to every row of the bank
}

// NewScorer makes a scorer of what the features' tensors hold against the bank, which it keeps.
func NewScorer(r *network.Runtime, features []network.Feature, bank Bank, o Options) (*Scorer, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	var g onnx.Graph
	dim, grid := embedding(&g, features)
	if dim != bank.Dim || bank.Rows < 1 || len(bank.Vectors) != bank.Rows*bank.Dim {
		return nil, fmt.Errorf("bank of %d x %d with %d numbers; patches have %d", bank.Rows, bank.Dim, len(bank.Vectors), dim)
	}
	g.Node("Transpose", "rows", []string{"patches"}, onnx.Ints("perm", 1, 0))
	if o.Precision == Int8 {
		compareInt8(&g, bank)
	} else {
		compare(&g, bank)
	}
	g.Output("squared", grid)
	g.Output("rows", grid, dim)

	s := &Scorer{options: o, width: features[0].Width, height: features[0].Height, bank: bank, distances: make([]float32, bank.Rows)}
	if err := s.open(r, g.Encode(), features, grid, dim); err != nil {
		s.Close()
		return nil, fmt.Errorf("open memory bank: %w", err)
	}
	return s, nil
}

func (s *Scorer) open(r *network.Runtime, model []byte, features []network.Feature, grid, dim int) (err error) {
	if s.squared, err = r.NewTensor(grid); err != nil {
		return err
	}
	if s.rows, err = r.NewTensor(grid, dim); err != nil {
		return err
	}
	s.session, err = r.NewSession(model, inputs(features), []network.Port{{Name: "squared", Tensor: s.squared}, {Name: "rows", Tensor: s.rows}})
	return err
}

// compare adds the nodes from "patches" to "squared", the squared distance of each to its nearest vector.
//
// |q-b|² = |q|² + (|b|² - 2qb): the bracket is one Gemm with a constant that is packed once, and its
// minimum over the bank is taken before |q|² is added. Adding last also carries NaN through, which a
// minimum may swallow; the root and the clamp at zero are left to Go for the same reason.
func compare(g *onnx.Graph, bank Bank) {
	doubled := make([]float32, len(bank.Vectors))
	for i, v := range bank.Vectors {
		doubled[i] = -2 * v
	}
	g.Float32s("bank", doubled, bank.Rows, bank.Dim)
	g.Float32s("norms", norms(bank.Vectors, bank.Dim), bank.Rows)
	g.Node("Gemm", "bracket", []string{"patches", "bank", "norms"}, onnx.Int("transA", 1), onnx.Int("transB", 1))
	g.Node("ReduceMin", "nearest", []string{"bracket"}, onnx.Ints("axes", 1), onnx.Int("keepdims", 0))
	g.Node("ReduceSumSquare", "own", []string{"patches"}, onnx.Ints("axes", 0), onnx.Int("keepdims", 0))
	g.Node("Add", "squared", []string{"nearest", "own"})
}

// levels is the greatest whole number that a vector of an int8 bank holds. It is that of seven bits: on
// processors without VNNI two products of eight bits each can run over their sixteen-bit sum.
const levels = 63

// compareInt8 does the same with the bank as whole numbers. The mean of the bank is taken from both
// sides, which changes no distance and leaves smaller numbers; each vector has a scale of its own. Only
// the products are rounded, the lengths stay exact.
func compareInt8(g *onnx.Graph, bank Bank) {
	mean := make([]float32, bank.Dim)
	sums := make([]float64, bank.Dim)
	for i, v := range bank.Vectors {
		sums[i%bank.Dim] += float64(v)
	}
	for i, sum := range sums {
		mean[i] = float32(sum / float64(bank.Rows))
	}
	centred := make([]float32, len(bank.Vectors))
	for i, v := range bank.Vectors {
		centred[i] = v - mean[i%bank.Dim]
	}
	whole := make([]int8, len(centred)) // [dim, rows]
	scales := make([]float32, bank.Rows)
	for row := range bank.Rows {
		vector := centred[row*bank.Dim : (row+1)*bank.Dim]
		var greatest float32
		for _, v := range vector {
			greatest = max(greatest, v, -v)
		}
		scale := max(greatest/levels, math.SmallestNonzeroFloat32)
		scales[row] = 2 * scale
		for i, v := range vector {
			whole[i*bank.Rows+row] = int8(-math.RoundToEven(float64(v / scale)))
		}
	}
	g.Float32s("mean", mean, bank.Dim)
	g.Int8s("bank", whole, bank.Dim, bank.Rows)
	g.Float32s("scales", scales, bank.Rows)
	g.Float32s("norms", norms(centred, bank.Dim), bank.Rows)
	g.Node("Sub", "centred", []string{"rows", "mean"})
	g.NodeOf("DynamicQuantizeLinear", []string{"whole", "step", "zero"}, []string{"centred"})
	g.Node("MatMulInteger", "products", []string{"whole", "bank", "zero"})
	g.Node("Cast", "real", []string{"products"}, onnx.Int("to", onnx.Float32))
	g.Node("Mul", "steps", []string{"step", "scales"})
	g.Node("Mul", "doubled", []string{"real", "steps"})
	g.Node("Add", "bracket", []string{"doubled", "norms"})
	g.Node("ReduceMin", "nearest", []string{"bracket"}, onnx.Ints("axes", 1), onnx.Int("keepdims", 0))
	g.Node("ReduceSumSquare", "own", []string{"centred"}, onnx.Ints("axes", 1), onnx.Int("keepdims", 0))
	g.Node("Add", "squared", []string{"nearest", "own"})
}

// norms are the squared lengths of vectors that lie side by side.
func norms(vectors []float32, dim int) []float32 {
	out := make([]float32, 0, len(vectors)/dim)
	for vector := range slices.Chunk(vectors, dim) {
		var sum float64
		for _, v := range vector {
			sum += float64(v) * float64(v)
		}
		out = append(out, float32(sum))
	}
	return out
}

// Score returns the picture's score and the distances of the patches. Where any distance is not a finite
// number the score is NaN. With an int8 bank the distances are rounded, but the greatest is computed
// again in fp32, and so are the scores Max and Reweighted.
func (s *Scorer) Score() (float64, part.Map, error) {
	if err := s.session.Run(); err != nil {
		return math.NaN(), part.Map{}, fmt.Errorf("score: %w", err)
	}
	m := part.Map{Width: s.width, Height: s.height, Cells: make([]float32, s.width*s.height)}
	best := 0
	for i, squared := range s.squared.Data() {
		distance := float32(math.Sqrt(max(0, float64(squared)))) // max of NaN is NaN
		if math.IsNaN(float64(distance)) || math.IsInf(float64(distance), 0) {
			return math.NaN(), s.invalid(m), nil
		}
		m.Cells[i] = distance
		if distance > m.Cells[best] {
			best = i
		}
	}
	if s.options.Precision == Int8 || s.options.Score == Reweighted {
		row, distance := s.Nearest(best)
		m.Cells[best] = float32(distance)
		if s.options.Score == Reweighted {
			return distance * s.weight(best, row), m, nil
		}
	}
	if s.options.Score == MeanTopK {
		return meanOfGreatest(m.Cells, s.options.TopK), m, nil
	}
	return float64(m.Cells[best]), m, nil
}

// invalid is the map of a picture for which some distance is no number.
func (s *Scorer) invalid(m part.Map) part.Map {
	for i, squared := range s.squared.Data() {
		m.Cells[i] = float32(math.Sqrt(max(0, float64(squared))))
		if math.IsInf(float64(m.Cells[i]), 0) {
			m.Cells[i] = float32(math.NaN())
		}
	}
	return m
}

// Nearest returns the row of the bank that is nearest to a patch of the picture scored last, and its
// distance, both computed in fp32.
func (s *Scorer) Nearest(cell int) (row int, distance float64) {
	s.distancesTo(s.patch(cell))
	for i, d := range s.distances {
		if d < s.distances[row] {
			row = i
		}
	}
	return row, math.Sqrt(float64(s.distances[row]))
}

func (s *Scorer) patch(cell int) []float32 {
	return s.rows.Data()[cell*s.bank.Dim : (cell+1)*s.bank.Dim]
}

// distancesTo fills distances with the squared distances of a vector to every row of the bank.
func (s *Scorer) distancesTo(vector []float32) {
	for row := range s.distances {
		s.distances[row] = squaredDistance(vector, s.bank.vector(row))
	}
}

func (b Bank) vector(row int) []float32 { return b.Vectors[row*b.Dim : (row+1)*b.Dim] }

// squaredDistance is summed in four strands, which a processor adds side by side.
func squaredDistance(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	b = b[:len(a)]
	i := 0
	for ; i+4 <= len(a); i += 4 {
		d0, d1, d2, d3 := a[i]-b[i], a[i+1]-b[i+1], a[i+2]-b[i+2], a[i+3]-b[i+3]
		s0 += d0 * d0
		s1 += d1 * d1
		s2 += d2 * d2
		s3 += d3 * d3
	}
	for ; i < len(a); i++ {
		d := a[i] - b[i]
		s0 += d * d
	}
	return s0 + s1 + s2 + s3
}

// neighbours is how many vectors around the nearest one decide the weight, itself included; anomalib's.
const neighbours = 9

// weight is that of equation 7 of the paper as anomalib computes it: one minus the softmax share of the
// nearest vector m among m's own nine nearest, over their distances to the patch.
func (s *Scorer) weight(cell, nearest int) float64 {
	s.distancesTo(s.bank.vector(nearest))
	s.distances[nearest] = 0
	around := make([]int, 0, neighbours+1)
	for row, d := range s.distances {
		if len(around) == neighbours && d >= s.distances[around[neighbours-1]] {
			continue
		}
		at, _ := slices.BinarySearchFunc(around, d, func(r int, d float32) int { return cmp.Or(cmp.Compare(s.distances[r], d), -1) })
		around = slices.Insert(around, at, row)
		around = around[:min(len(around), neighbours)]
	}
	patch := s.patch(cell)
	var own, sum float64
	exponents := make([]float64, len(around))
	greatest := math.Inf(-1)
	for i, row := range around {
		exponents[i] = math.Sqrt(float64(squaredDistance(patch, s.bank.vector(row))))
		greatest = max(greatest, exponents[i])
	}
	for i, e := range exponents {
		share := math.Exp(e - greatest)
		sum += share
		if i == 0 {
			own = share
		}
	}
	return 1 - own/sum
}

// meanOfGreatest is the mean of the k greatest cells, of all where there are fewer.
func meanOfGreatest(cells []float32, k int) float64 {
	falling := slices.Clone(cells)
	slices.SortFunc(falling, func(a, b float32) int { return cmp.Compare(b, a) })
	falling = falling[:min(k, len(falling))]
	var sum float64
	for _, c := range falling {
		sum += float64(c)
	}
	return sum / float64(len(falling))
}

// Close frees the scorer; it may be called on one that is half made.
func (s *Scorer) Close() {
	if s.session != nil {
		s.session.Close()
	}
	for _, t := range []*network.Tensor{s.squared, s.rows} {
		if t != nil {
			t.Close()
		}
	}
}
