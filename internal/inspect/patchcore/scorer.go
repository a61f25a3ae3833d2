package patchcore

import (
	"fmt"
	"math"
	"slices"

	"linectl/internal/inspect/network"
	"linectl/internal/inspect/onnx"
	"linectl/internal/inspect/smooth"
	"linectl/internal/part"
)

// MostExact is how many patches of a picture are computed anew, at most: each is a pass over the bank.
const MostExact = 4

// Scorer gives each patch its distance to the nearest vector of a bank. Not for concurrent use.
type Scorer struct {
	options       Options
	width, height int
	squared       *network.Tensor // [grid]: squared distances
	patches       *network.Tensor // [dim, grid]
	mean          *network.Tensor // [1, dim, 1, 1]: of the patches; nil without an appearance
	session       *network.Session
	search        *search
	appearance    *Appearance
	patch         []float32 // the column of patches that was asked for last
}

// Dim is how many numbers a patch of the features has.
func Dim(features []network.Feature) (dim int) {
	for _, f := range features {
		dim += f.Channels
	}
	return dim
}

// Memory is about how many bytes a scorer of what the features hold against so many vectors takes, and their training:
// the products of all patches with all vectors, the bank ten times (measured; as it is given, in the model that is made of
// it, and as ONNX Runtime keeps that), the patches four times, once a step of the embedding, and the covariance of an appearance three
// times in float64.
func Memory(features []network.Feature, rows int) int64 {
	dim, grid := Dim(features), features[0].Width*features[0].Height
	return 4 * (int64(grid)*int64(rows) + 10*int64(rows)*int64(dim) + 4*int64(grid)*int64(dim) + 6*int64(dim)*int64(dim))
}

// NewScorer makes a scorer of what the features' tensors hold against the bank, whose vectors it keeps
// and must not change. The score MaxAppearance needs the appearance of good pictures; others do not ask for it.
func NewScorer(r *network.Runtime, features []network.Feature, bank Bank, appearance *Appearance, o Options) (*Scorer, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	var g onnx.Graph
	dim, grid := embedding(&g, features)
	if err := bank.check(dim); err != nil {
		return nil, err
	}
	if o.Score == Reweighted && bank.Rows < neighbours {
		return nil, fmt.Errorf("the score %s needs a bank of at least %d vectors; this one has %d", Reweighted, neighbours, bank.Rows)
	}
	if o.Score != MaxAppearance {
		appearance = nil
	} else if appearance == nil || appearance.dim() != dim {
		return nil, fmt.Errorf("the score %s needs the appearance of good pictures in %d numbers", MaxAppearance, dim)
	}
	s := &Scorer{options: o, appearance: appearance, width: features[0].Width, height: features[0].Height, search: newSearch(bank), patch: make([]float32, dim)}
	if o.Precision == Int8 {
		nearestInt8(&g, bank)
	} else {
		nearestFloat32(&g, bank, s.search.norms)
	}
	g.Output("squared", grid)
	g.Output("patches", dim, grid)
	if appearance != nil {
		mean(&g, dim)
	}
	if err := s.open(r, g.Encode(), features, dim, grid); err != nil {
		s.Close()
		return nil, fmt.Errorf("open memory bank: %w", err)
	}
	return s, nil
}

func (s *Scorer) open(r *network.Runtime, model []byte, features []network.Feature, dim, grid int) (err error) {
	if s.squared, err = r.NewTensor(grid); err != nil {
		return err
	}
	if s.patches, err = r.NewTensor(dim, grid); err != nil {
		return err
	}
	outputs := []network.Port{{Name: "squared", Tensor: s.squared}, {Name: "patches", Tensor: s.patches}}
	if s.appearance != nil {
		if s.mean, err = r.NewTensor(1, dim, 1, 1); err != nil {
			return err
		}
		outputs = append(outputs, network.Port{Name: "patches.mean", Tensor: s.mean})
	}
	s.session, err = r.NewSession(model, inputs(features), outputs)
	return err
}

// Score returns the distances of the patches and the picture's score by them alone; what Appearance says comes on top. Where any distance is not a finite
// number the score is NaN. With an int8 bank the map is near the truth; of the patches that make the score
// the greatest are computed anew, so that Max and Reweighted are true, and MeanTopK is nearly so; the nine of
// MaxMean are not, for their mean is nearer to the truth than each of them.
func (s *Scorer) Score() (float64, part.Map, error) {
	if err := s.session.Run(); err != nil {
		return math.NaN(), part.Map{}, fmt.Errorf("score: %w", err)
	}
	m := part.Map{Width: s.width, Height: s.height, Cells: make([]float32, s.width*s.height)}
	finite := true
	for i, squared := range s.squared.Data() {
		d := math.Sqrt(max(0, float64(squared))) // max of NaN is NaN
		if math.IsInf(d, 0) {
			d = math.NaN()
		}
		finite = finite && !math.IsNaN(d)
		m.Cells[i] = float32(d)
	}
	if !finite {
		return math.NaN(), m, nil
	}
	if s.options.Score == MaxMean {
		return smooth.MaxMean(m.Cells, m.Width, m.Height, nil), m, nil
	}
	top := s.top(m.Cells)
	switch s.options.Score {
	case Reweighted:
		best := top[0]
		row, d := s.Nearest(best)
		return d * s.search.weight(s.patch, row, d), m, nil
	case MeanTopK:
		var sum float64
		for _, cell := range top {
			sum += float64(m.Cells[cell])
		}
		return sum / float64(len(top)), m, nil
	}
	return float64(m.Cells[top[0]]), m, nil
}

// Appearance is what the last picture as a whole adds to its score: 0 where the score is not MaxAppearance, NaN where its
// patches are not finite numbers.
func (s *Scorer) Appearance() float64 {
	if s.appearance == nil {
		return 0
	}
	return s.appearance.Weighing.Of(s.appearance.Unlikeness(s.mean.Data()))
}

// top is the cells that make the score, the greatest first. The greatest of them are computed exactly and
// put into the map, until none can come before those that are exact or there are MostExact of them.
func (s *Scorer) top(cells []float32) []int {
	k := 1
	if s.options.Score == MeanTopK {
		k = min(s.options.TopK, len(cells))
	}
	order := greatest(cells, min(len(cells), max(k, MostExact)))
	var exact []int
	for _, cell := range order[:min(len(order), MostExact)] {
		if len(exact) >= k && cells[cell] <= cells[exact[k-1]] {
			break
		}
		_, d := s.Nearest(cell)
		cells[cell] = float32(d)
		exact = append(exact, cell)
		slices.SortFunc(exact, func(a, b int) int { return before(cells, a, b) })
	}
	if len(exact) >= k {
		return exact[:k]
	}
	return order
}

// before orders cells by distance, the greatest first, among equals the lower cell.
func before(cells []float32, a, b int) int {
	switch {
	case cells[a] > cells[b]:
		return -1
	case cells[a] < cells[b]:
		return 1
	}
	return a - b
}

// greatest is the n greatest cells in order.
func greatest(cells []float32, n int) []int {
	top := make([]int, 0, n)
	for cell := range cells {
		if len(top) == n {
			if cells[cell] <= cells[top[n-1]] {
				continue
			}
			top = top[:n-1]
		}
		at, _ := slices.BinarySearchFunc(top, cell, func(a, b int) int { return before(cells, a, b) })
		top = slices.Insert(top, at, cell)
	}
	return top
}

// Nearest is the row of the bank nearest to a cell's patch of the last map, and its distance, exactly.
func (s *Scorer) Nearest(cell int) (row int, distance float64) {
	grid := s.width * s.height
	data := s.patches.Data()
	for i := range s.patch {
		s.patch[i] = data[i*grid+cell]
	}
	return s.search.nearest(s.patch)
}

// Close frees the scorer; it may be called on one that is half made.
func (s *Scorer) Close() {
	if s.session != nil {
		s.session.Close()
	}
	for _, t := range []*network.Tensor{s.squared, s.patches, s.mean} {
		if t != nil {
			t.Close()
		}
	}
}
