package patchcore

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
)

// Coreset chooses size of the given rows of points [.., dim] so that the farthest of the rows is as near
// to a chosen one as greedy choice can have it: k-center greedy (Gonzalez, "Clustering to minimize the
// maximum intercluster distance", 1985), begun at a seeded row. It returns the rows in order of choice,
// fewer than size where there are not so many different ones.
//
// It is the exact greedy choice, computed lazily: the distance to the nearest chosen row can only fall,
// so an old value is an upper bound, and a row is brought up to date only while it could be the farthest.
func Coreset(ctx context.Context, points []float32, dim int, rows []int, size int, seed uint64, progress func(done int)) ([]int, error) {
	size = min(size, len(rows))
	if size == 0 {
		return nil, nil
	}
	c := newChosen(points, dim)
	c.add(rows[rand.New(rand.NewPCG(seed, 1)).IntN(len(rows))])
	if err := c.grow(ctx, rows, size, 0, progress); err != nil {
		return nil, err
	}
	return c.rows, nil
}

// Base is a bank that is to be extended.
type Base struct {
	held  *chosen
	least float32 // squared distance of its two nearest vectors
}

// NewBase takes the vectors of a bank [.., dim]. It compares each with every other one.
func NewBase(bank []float32, dim int) (*Base, error) {
	c := newChosen(nil, dim)
	for ; len(bank) > 0; bank = bank[dim:] {
		c.addVector(-1, bank[:dim])
	}
	if len(c.rows) == 0 {
		return nil, errors.New("the bank to extend is empty")
	}
	return &Base{c, c.closest()}, nil
}

// Extend chooses of the given rows of points [.., dim] what the bank lacks: greedily the farthest
// from all that the bank holds and that was chosen before, until the rest is no farther from them than the
// bank's two nearest vectors are from each other, which bounds how far its own patches are from it, or
// until there are most of them. Bank and points must have been projected alike.
func (b *Base) Extend(ctx context.Context, points []float32, rows []int, most int, progress func(done int)) ([]int, error) {
	most = min(most, len(rows))
	if most <= 0 {
		return nil, nil
	}
	c := newChosen(points, b.held.dim)
	held := len(b.held.rows)
	c.rows, c.vectors, c.norms = slices.Clone(b.held.rows), slices.Clone(b.held.vectors), slices.Clone(b.held.norms)
	err := c.grow(ctx, rows, held+most, b.least, func(done int) {
		if progress != nil {
			progress(done - held)
		}
	})
	if err != nil {
		return nil, err
	}
	return c.rows[held:], nil
}

// Project brings vectors [.., dim] among those that an Embedder with the same seed calls Projected.
func Project(vectors []float32, dim int, seed uint64) []float32 {
	n := len(vectors) / dim
	projected := make([]float32, n*ProjectedDim)
	if n == 0 {
		return projected
	}
	blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, blas32.General{Rows: n, Cols: dim, Stride: dim, Data: vectors},
		blas32.General{Rows: dim, Cols: ProjectedDim, Stride: ProjectedDim, Data: projection(dim, seed)},
		0, blas32.General{Rows: n, Cols: ProjectedDim, Stride: ProjectedDim, Data: projected})
	return projected
}

// chosen is the coreset so far; its vectors lie side by side.
type chosen struct {
	points []float32
	dim    int
	dot    func(n int, x []float32, incX int, y []float32, incY int) float32

	rows    []int
	vectors []float32
	norms   []float32
}

func newChosen(points []float32, dim int) *chosen {
	return &chosen{points: points, dim: dim, dot: blas32.Implementation().Sdot}
}

// grow adds of the given rows the farthest, one after the other, until there are size of them or none is
// farther than the square root of least.
func (c *chosen) grow(ctx context.Context, rows []int, size int, least float32, progress func(done int)) error {
	var shards []*shard
	for block := range slices.Chunk(rows, max(1, (len(rows)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))) {
		shards = append(shards, newShard(c, block, least))
	}
	for len(c.rows) < size {
		if err := ctx.Err(); err != nil {
			return err
		}
		var settled sync.WaitGroup
		for _, s := range shards[1:] {
			settled.Go(s.settle)
		}
		shards[0].settle()
		settled.Wait()
		farthest := shards[0].heap[0]
		for _, s := range shards[1:] {
			if s.heap[0].before(farthest) {
				farthest = s.heap[0]
			}
		}
		if farthest.distance <= least {
			break // at least 0: every row equals a chosen one
		}
		c.add(farthest.row)
		if progress != nil {
			progress(len(c.rows))
		}
	}
	return nil
}

func (c *chosen) add(row int) { c.addVector(row, c.vector(row)) }

// addVector adds what is a row of points or, as row -1, none of them.
func (c *chosen) addVector(row int, v []float32) {
	c.rows = append(c.rows, row)
	c.vectors = append(c.vectors, v...)
	c.norms = append(c.norms, c.dot(c.dim, v, 1, v, 1))
}

// closest is the least squared distance between two chosen vectors, 0 for one alone.
func (c *chosen) closest() float32 {
	if len(c.rows) < 2 {
		return 0
	}
	least := make([]float32, runtime.GOMAXPROCS(0))
	var done sync.WaitGroup
	for worker := range least {
		least[worker] = math.MaxFloat32
		done.Go(func() {
			for i := worker; i < len(c.rows); i += len(least) {
				v := c.vectors[i*c.dim : (i+1)*c.dim]
				for j := range i {
					d := c.norms[i] + c.norms[j] - 2*c.dot(c.dim, v, 1, c.vectors[j*c.dim:(j+1)*c.dim], 1)
					least[worker] = min(least[worker], d)
				}
			}
		})
	}
	done.Wait()
	return max(0, slices.Min(least))
}

func (c *chosen) vector(row int) []float32 { return c.points[row*c.dim : (row+1)*c.dim] }

func (c *chosen) norm(row int) float32 {
	v := c.vector(row)
	return c.dot(c.dim, v, 1, v, 1)
}

// candidate is a row and an upper bound of its squared distance to the chosen ones: exact for the first
// seen of them.
type candidate struct {
	distance float32
	norm     float32
	row      int
	seen     int
}

// before orders candidates: the farther one first, among equals the lower row, so that the choice does
// not depend on how rows are shared out.
func (a candidate) before(b candidate) bool {
	return a.distance > b.distance || a.distance == b.distance && a.row < b.row
}

// shard is the share of one goroutine: a heap with the farthest candidate on top.
type shard struct {
	chosen *chosen
	least  float32 // a candidate that is no farther is of no interest
	heap   []candidate
}

func newShard(c *chosen, rows []int, least float32) *shard {
	s := &shard{chosen: c, least: least, heap: make([]candidate, len(rows))}
	for i, row := range rows {
		// All distances begin alike, at more than any can be, and rows rise: this is a heap already.
		s.heap[i] = candidate{distance: math.MaxFloat32, norm: c.norm(row), row: row}
	}
	return s
}

// settle brings the top up to date until the top is exact or of no interest.
func (s *shard) settle() {
	c := s.chosen
	for {
		top := &s.heap[0]
		if top.seen == len(c.rows) || top.distance <= s.least {
			return
		}
		bound := candidate{distance: -1}
		for _, child := range s.heap[1:min(3, len(s.heap))] {
			if child.before(bound) {
				bound = child
			}
		}
		// In variables of its own: this is where choosing spends its time.
		t, least := *top, s.least
		vector, vectors, norms, dim, dot := c.vector(t.row), c.vectors, c.norms, c.dim, c.dot
		for t.seen < len(norms) {
			d := t.norm + norms[t.seen] - 2*dot(dim, vector, 1, vectors[t.seen*dim:(t.seen+1)*dim], 1)
			if c.rows[t.seen] == t.row {
				d = 0 // exactly, whatever rounding says
			}
			t.distance = min(t.distance, max(0, d))
			t.seen++
			if bound.before(t) || t.distance <= least {
				break
			}
		}
		*top = t
		s.sink()
	}
}

// sink puts the top where it belongs.
func (s *shard) sink() {
	i := 0
	for {
		first := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(s.heap); child++ {
			if s.heap[child].before(s.heap[first]) {
				first = child
			}
		}
		if first == i {
			return
		}
		s.heap[i], s.heap[first] = s.heap[first], s.heap[i]
		i = first
	}
}
