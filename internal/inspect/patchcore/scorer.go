package patchcore

import (
	"fmt"
	"math"

	"linectl/internal/inspect/network"
	"linectl/internal/inspect/onnx"
	"linectl/internal/part"
)

// Bank is the memory bank: vectors of good patches, one a row.
type Bank struct {
	Rows, Dim int
	Vectors   []float32 // Rows x Dim
}

// Scorer gives each patch its distance to the nearest vector of a bank. Not for concurrent use.
type Scorer struct {
	width, height int
	squared       *network.Tensor
	session       *network.Session
}

// NewScorer makes a scorer of what the features' tensors hold against the bank.
func NewScorer(r *network.Runtime, features []network.Feature, bank Bank) (*Scorer, error) {
	var g onnx.Graph
	dim, grid := embedding(&g, features)
	if dim != bank.Dim || bank.Rows < 1 || len(bank.Vectors) != bank.Rows*bank.Dim {
		return nil, fmt.Errorf("bank of %d x %d with %d numbers; patches have %d", bank.Rows, bank.Dim, len(bank.Vectors), dim)
	}
	// |q-b|² = |q|² + (|b|² - 2qb): the bracket is one Gemm with a constant that is packed once, and its
	// minimum over the bank is taken before |q|² is added. Adding last also carries NaN through, which a
	// minimum may swallow; the root and the clamp at zero are left to Go for the same reason.
	doubled := make([]float32, len(bank.Vectors))
	norms := make([]float32, bank.Rows)
	for i := range bank.Rows {
		var sum float64
		for j := range dim {
			v := bank.Vectors[i*dim+j]
			doubled[i*dim+j] = -2 * v
			sum += float64(v) * float64(v)
		}
		norms[i] = float32(sum)
	}
	g.Float32s("bank", doubled, bank.Rows, dim)
	g.Float32s("norms", norms, bank.Rows)
	g.Node("Gemm", "bracket", []string{"patches", "bank", "norms"}, onnx.Int("transA", 1), onnx.Int("transB", 1))
	g.Node("ReduceMin", "nearest", []string{"bracket"}, onnx.Ints("axes", 1), onnx.Int("keepdims", 0))
	g.Node("ReduceSumSquare", "own", []string{"patches"}, onnx.Ints("axes", 0), onnx.Int("keepdims", 0))
	g.Node("Add", "squared", []string{"nearest", "own"})
	g.Output("squared", grid)

	squared, err := r.NewTensor(grid)
	if err != nil {
		return nil, err
	}
	session, err := r.NewSession(g.Encode(), inputs(features), []network.Port{{Name: "squared", Tensor: squared}})
	if err != nil {
		squared.Close()
		return nil, fmt.Errorf("open memory bank: %w", err)
	}
	return &Scorer{width: features[0].Width, height: features[0].Height, squared: squared, session: session}, nil
}

// Score returns the distances of the patches and the greatest of them, the picture's score. Where any
// distance is not a finite number the score is NaN.
func (s *Scorer) Score() (float64, part.Map, error) {
	if err := s.session.Run(); err != nil {
		return math.NaN(), part.Map{}, fmt.Errorf("score: %w", err)
	}
	m := part.Map{Width: s.width, Height: s.height, Cells: make([]float32, s.width*s.height)}
	var score float64
	for i, squared := range s.squared.Data() {
		distance := math.Sqrt(max(0, float64(squared))) // max of NaN is NaN
		if math.IsInf(distance, 0) {
			distance = math.NaN()
		}
		m.Cells[i] = float32(distance)
		score = max(score, distance)
	}
	return score, m, nil
}

// Close frees the scorer.
func (s *Scorer) Close() {
	s.session.Close()
	s.squared.Close()
}
