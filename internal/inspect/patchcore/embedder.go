package patchcore

import (
	"fmt"
	"math"
	"math/rand/v2"

	"linectl/internal/inspect/network"
	"linectl/internal/inspect/onnx"
)

// ProjectedDim is the length of the vectors among which the coreset is chosen. By the lemma of Johnson
// and Lindenstrauss distances survive such a projection to within some percent.
const ProjectedDim = 128

// Embedder turns the features of a picture into patches, for training. Not for concurrent use.
type Embedder struct {
	Dim       int             // numbers a patch
	Grid      int             // patches a picture
	Patches   *network.Tensor // [Grid, Dim]
	Projected *network.Tensor // [Grid, ProjectedDim]: Patches times a seeded random matrix
	Mean      *network.Tensor // [1, Dim, 1, 1]: of Patches
	session   *network.Session
}

// NewEmbedder embeds what the features' tensors hold; the seed decides the projection.
func NewEmbedder(r *network.Runtime, features []network.Feature, seed uint64) (*Embedder, error) {
	var g onnx.Graph
	dim, grid := embedding(&g, features)
	g.Node("Transpose", "rows", []string{"patches"}, onnx.Ints("perm", 1, 0))
	g.Float32s("projection", projection(dim, seed), dim, ProjectedDim)
	g.Node("MatMul", "projected", []string{"rows", "projection"})
	g.Output("rows", grid, dim)
	g.Output("projected", grid, ProjectedDim)
	mean(&g, dim)

	e := &Embedder{Dim: dim, Grid: grid}
	if err := e.open(r, g.Encode(), features); err != nil {
		e.Close()
		return nil, fmt.Errorf("open embedding: %w", err)
	}
	return e, nil
}

func (e *Embedder) open(r *network.Runtime, model []byte, features []network.Feature) (err error) {
	if e.Patches, err = r.NewTensor(e.Grid, e.Dim); err != nil {
		return err
	}
	if e.Projected, err = r.NewTensor(e.Grid, ProjectedDim); err != nil {
		return err
	}
	if e.Mean, err = r.NewTensor(1, e.Dim, 1, 1); err != nil {
		return err
	}
	e.session, err = r.NewSession(model, inputs(features),
		[]network.Port{{Name: "rows", Tensor: e.Patches}, {Name: "projected", Tensor: e.Projected}, {Name: "patches.mean", Tensor: e.Mean}})
	return err
}

// projection is a random matrix whose entries are +s or -s, s = 1/sqrt(ProjectedDim), so that lengths are
// kept on average (Achlioptas, "Database-friendly random projections", 2003).
func projection(dim int, seed uint64) []float32 {
	random := rand.New(rand.NewPCG(seed, 0))
	scale := float32(1 / math.Sqrt(ProjectedDim))
	matrix := make([]float32, dim*ProjectedDim)
	for i := range matrix {
		matrix[i] = scale
		if random.Uint64()&1 == 0 {
			matrix[i] = -scale
		}
	}
	return matrix
}

// Run embeds what the features hold now.
func (e *Embedder) Run() error { return e.session.Run() }

// Close frees the embedder; it may be called on one that is half made.
func (e *Embedder) Close() {
	if e.session != nil {
		e.session.Close()
	}
	for _, t := range []*network.Tensor{e.Patches, e.Projected, e.Mean} {
		if t != nil {
			t.Close()
		}
	}
}
