// Package padim compares each place of a picture with what good parts show at that very place: a
// Gaussian of the network's features for every cell of the grid, and the Mahalanobis distance from it.
//
// The method is PaDiM (Defard et al., "PaDiM: a Patch Distribution Modeling Framework for Anomaly
// Detection and Localization", ICPR 2020) as anomalib has it. It suits parts that always lie the same way,
// and no others. It refuses to know what a threshold is.
package padim

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"

	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/mat"

	"linectl/internal/inspect/network"
	"linectl/internal/inspect/smooth"
	"linectl/internal/part"
)

// regular is added to each variance, as anomalib adds it: 0.01, and 0.00001 once more.
const regular = 0.01 + 1e-5

// DefaultDims is the number of channels kept of so many, as the paper keeps 100 of 448 and 550 of 1792.
func DefaultDims(channels int) int {
	if channels <= 448 {
		return min(channels, 100)
	}
	return 550 * channels / 1792
}

// Model is a Gaussian for each cell of a grid.
type Model struct {
	Width, Height int     // of the grid
	Dims          []int32 // channels that were kept, counted through the layers
	Mean          []float32
	// Whiten holds for each cell the lower triangle W, row by row, with WᵀW the inverse of the cell's
	// covariance: |W·(x-mean)| is the Mahalanobis distance of x. It takes half the room of the inverse.
	Whiten []float32
}

// Cells is how many places the model knows.
func (m *Model) Cells() int { return m.Width * m.Height }

// Dim is how many numbers describe a place.
func (m *Model) Dim() int { return len(m.Dims) }

// Check refuses a model whose parts do not fit together.
func (m *Model) Check() error {
	n, d := m.Cells(), m.Dim()
	if m.Width < 1 || m.Height < 1 || d < 1 || len(m.Mean) != n*d || len(m.Whiten) != n*triangle(d) {
		return fmt.Errorf("PaDiM model of %dx%d cells and %d dimensions with %d means and %d numbers of whitening", m.Width, m.Height, d, len(m.Mean), len(m.Whiten))
	}
	for i, dim := range m.Dims {
		if dim < 0 || i > 0 && dim <= m.Dims[i-1] {
			return errors.New("PaDiM model: the kept channels must rise")
		}
	}
	return nil
}

func triangle(d int) int { return d * (d + 1) / 2 }

// ChooseDims picks n of so many channels at random, in rising order; the seed decides.
func ChooseDims(channels, n int, seed uint64) []int32 {
	random := rand.New(rand.NewPCG(seed, 3))
	chosen := make(map[int]bool, n)
	for _, c := range random.Perm(channels)[:min(n, channels)] {
		chosen[c] = true
	}
	dims := make([]int32, 0, n)
	for c := range channels {
		if chosen[c] {
			dims = append(dims, int32(c))
		}
	}
	return dims
}

// places finds the numbers of a place in the features: coarser layers are enlarged by repeating cells.
type places struct {
	width, height int
	kept          []kept
}

// kept is one channel that was kept.
type kept struct {
	tensor []float32 // of the channel: [height, width]
	column []int     // of the finest grid's columns in it
	row    []int
	width  int
}

func newPlaces(features []network.Feature, dims []int32) (*places, error) {
	if len(features) == 0 {
		return nil, errors.New("no layers")
	}
	finest := features[0]
	p := &places{width: finest.Width, height: finest.Height}
	first := 0
	for _, f := range features {
		columns, rows := make([]int, p.width), make([]int, p.height)
		for x := range columns {
			columns[x] = x * f.Width / p.width
		}
		for y := range rows {
			rows[y] = y * f.Height / p.height
		}
		for len(dims) > 0 && int(dims[0]) < first+f.Channels {
			c := int(dims[0]) - first
			cells := f.Width * f.Height
			p.kept = append(p.kept, kept{f.Tensor.Data()[c*cells : (c+1)*cells], columns, rows, f.Width})
			dims = dims[1:]
		}
		first += f.Channels
	}
	if len(dims) > 0 {
		return nil, fmt.Errorf("the model keeps channel %d; the layers have %d", dims[0], first)
	}
	return p, nil
}

// read writes the numbers of a place, which is cell of the grid row by row.
func (p *places) read(cell int, out []float32) {
	x, y := cell%p.width, cell/p.width
	for i := range p.kept {
		k := &p.kept[i]
		out[i] = k.tensor[k.row[y]*k.width+k.column[x]]
	}
}

// shares runs use on even shares of the cells, one a worker, and waits for all. What is computed of a cell does not
// depend on how many workers there are.
func shares(cells, workers int, use func(worker, from, to int)) {
	workers = max(1, min(workers, cells))
	var others sync.WaitGroup
	for w := 1; w < workers; w++ {
		others.Go(func() { use(w, cells*w/workers, cells*(w+1)/workers) })
	}
	use(0, 0, cells/workers)
	others.Wait()
}

// Memory is about how many bytes it takes at most to learn a model of so many channels from the features and to save it. A
// fitter has a number of 8 bytes where its model has one of 4, and Go collects garbage when there is as much of it. To
// save a model takes no more: it is there four times then, as what was learned, as the file, as the file read back, and
// as what is in that, beside what is left of the fitter.
func Memory(features []network.Feature, dims int) int64 {
	return 24 * int64(features[0].Width*features[0].Height) * int64(dims+triangle(dims))
}

// Fitter learns a model from one picture after the other; it never holds their features.
type Fitter struct {
	features []network.Feature
	places   *places
	dims     []int32
	pictures int
	origin   []float32 // the first picture's numbers, [cells, dim]: sums of differences from it keep their digits
	sums     []float64 // [cells, dim]
	products []float64 // [cells, triangle(dim)]
	workers  []fitWorker
}

// fitWorker is what one goroutine of a fitter writes into.
type fitWorker struct {
	place []float32
	delta []float64
}

// NewFitter learns from what the features' tensors hold, on so many cores.
func NewFitter(features []network.Feature, dims []int32, cores int) (*Fitter, error) {
	p, err := newPlaces(features, dims)
	if err != nil {
		return nil, err
	}
	cells, d := p.width*p.height, len(dims)
	f := &Fitter{features: features, places: p, dims: dims, origin: make([]float32, cells*d), sums: make([]float64, cells*d),
		products: make([]float64, cells*triangle(d))}
	for range max(1, cores) {
		f.workers = append(f.workers, fitWorker{make([]float32, d), make([]float64, d)})
	}
	return f, nil
}

// Add takes the picture that the features hold now. It refuses one with a number that is not finite, and
// is then as it was.
func (f *Fitter) Add() error {
	if !network.Finite(f.features) {
		return errors.New("the network gives numbers that are not finite")
	}
	shares(f.places.width*f.places.height, len(f.workers), func(worker, from, to int) {
		for cell := from; cell < to; cell++ {
			f.workers[worker].add(f, cell)
		}
	})
	f.pictures++
	return nil
}

func (w fitWorker) add(f *Fitter, cell int) {
	d := len(f.dims)
	origin := f.origin[cell*d : (cell+1)*d]
	if f.pictures == 0 {
		f.places.read(cell, origin)
		return
	}
	f.places.read(cell, w.place)
	sums, products := f.sums[cell*d:(cell+1)*d], f.products[cell*triangle(d):(cell+1)*triangle(d)]
	at := 0
	for i, v := range w.place {
		di := float64(v) - float64(origin[i])
		w.delta[i] = di
		sums[i] += di
		row := products[at : at+i+1]
		for j, dj := range w.delta[:i+1] {
			row[j] += di * dj
		}
		at += i + 1
	}
}

// Model computes the Gaussians: the mean, and the covariance over n-1 with the regular term on its
// diagonal.
func (f *Fitter) Model() (*Model, error) {
	if f.pictures < 2 {
		return nil, fmt.Errorf("a distribution cannot be learned from %d pictures", f.pictures)
	}
	d, cells := len(f.dims), f.places.width*f.places.height
	m := &Model{Width: f.places.width, Height: f.places.height, Dims: f.dims,
		Mean: make([]float32, cells*d), Whiten: make([]float32, cells*triangle(d))}
	failed := make([]error, len(f.workers))
	shares(cells, len(f.workers), func(worker, from, to int) {
		covariance := mat.NewSymDense(d, nil)
		lower, inverse := mat.NewTriDense(d, mat.Lower, nil), mat.NewTriDense(d, mat.Lower, nil)
		var factor mat.Cholesky
		for cell := from; cell < to && failed[worker] == nil; cell++ {
			failed[worker] = f.gaussian(cell, m, covariance, &factor, lower, inverse)
		}
	})
	return m, errors.Join(failed...)
}

// gaussian computes the mean and the whitening of one cell; the matrices are room for it.
func (f *Fitter) gaussian(cell int, m *Model, covariance *mat.SymDense, factor *mat.Cholesky, lower, inverse *mat.TriDense) error {
	d, n := len(f.dims), float64(f.pictures)
	sums, products := f.sums[cell*d:(cell+1)*d], f.products[cell*triangle(d):(cell+1)*triangle(d)]
	at := 0
	for i := range d {
		m.Mean[cell*d+i] = float32(float64(f.origin[cell*d+i]) + sums[i]/n)
		for j := range i + 1 {
			covariance.SetSym(i, j, (products[at+j]-sums[i]*sums[j]/n)/(n-1))
		}
		covariance.SetSym(i, i, covariance.At(i, i)+regular)
		at += i + 1
	}
	if !factor.Factorize(covariance) {
		return fmt.Errorf("the covariance of cell %d is not positive: the features are too large for it", cell)
	}
	factor.LTo(lower)
	if err := inverse.InverseTri(lower); err != nil {
		return fmt.Errorf("the covariance of cell %d cannot be inverted: %w", cell, err)
	}
	whiten := m.Whiten[cell*triangle(d) : cell*triangle(d) : (cell+1)*triangle(d)]
	for i := range d {
		for j := range i + 1 {
			whiten = append(whiten, float32(inverse.At(i, j)))
		}
	}
	return nil
}

// Scorer gives each place its distance from the model. Not for concurrent use.
type Scorer struct {
	features []network.Feature
	model    *Model
	places   *places
	smoother *smooth.Smoother
	workers  [][]float32 // a place for each goroutine
}

// NewScorer makes a scorer of what the features' tensors hold, for pictures of the given size at the
// network's input. It computes on so many cores.
func NewScorer(features []network.Feature, m *Model, width, height, cores int) (*Scorer, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	p, err := newPlaces(features, m.Dims)
	if err != nil {
		return nil, err
	}
	if p.width != m.Width || p.height != m.Height {
		return nil, fmt.Errorf("the model is of %dx%d cells, the features of %dx%d", m.Width, m.Height, p.width, p.height)
	}
	smoother, err := smooth.New(smooth.Bilinear, m.Width, m.Height, width, height)
	if err != nil {
		return nil, err
	}
	s := &Scorer{features: features, model: m, places: p, smoother: smoother}
	for range max(1, cores) {
		s.workers = append(s.workers, make([]float32, m.Dim()))
	}
	return s, nil
}

// Score returns the greatest value of the smoothed map, which is the picture's score, and the distances of
// the cells. Where any distance is not a finite number, or any feature, kept or not, the score is NaN.
func (s *Scorer) Score() (float64, part.Map, error) {
	m := s.model
	out := part.Map{Width: m.Width, Height: m.Height, Cells: make([]float32, m.Cells())}
	shares(m.Cells(), len(s.workers), func(worker, from, to int) {
		for cell := from; cell < to; cell++ {
			out.Cells[cell] = s.distance(cell, s.workers[worker])
		}
	})
	valid := network.Finite(s.features)
	for i, v := range out.Cells {
		if v != v || math.IsInf(float64(v), 0) {
			valid, out.Cells[i] = false, float32(math.NaN())
		}
	}
	if !valid {
		return math.NaN(), out, nil
	}
	var score float32
	for _, v := range s.Smooth(out) {
		score = max(score, v)
	}
	return float64(score), out, nil
}

// distance is that of a cell; place is room for its numbers.
func (s *Scorer) distance(cell int, place []float32) float32 {
	m, d := s.model, s.model.Dim()
	s.places.read(cell, place)
	for i, mean := range m.Mean[cell*d : (cell+1)*d] {
		place[i] -= mean
	}
	dot := blas32.Implementation().Sdot
	whiten := m.Whiten[cell*triangle(d) : (cell+1)*triangle(d)]
	var sum float32
	at := 0
	for i := range d {
		v := dot(i+1, whiten[at:at+i+1], 1, place[:i+1], 1)
		sum += v * v
		at += i + 1
	}
	return float32(math.Sqrt(float64(sum)))
}

// Smooth is the map at the size of the network's input; it is overwritten by the next call.
func (s *Scorer) Smooth(m part.Map) []float32 { return s.smoother.Map(m.Cells) }

// Close is there because scorers have one; nothing is to be freed.
func (s *Scorer) Close() {}
