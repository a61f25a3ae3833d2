package patchcore

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"

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
	c := &chosen{points: points, dim: dim, dot: blas32.Implementation().Sdot}
	var shards []*shard
	for block := range slices.Chunk(rows, max(1, (len(rows)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))) {
		shards = append(shards, newShard(c, block))
	}
	c.add(rows[rand.New(rand.NewPCG(seed, 1)).IntN(len(rows))])
	for len(c.rows) < size {
		if err := ctx.Err(); err != nil {
			return nil, err
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
		if farthest.distance <= 0 {
			break // every row equals a chosen one
		}
		c.add(farthest.row)
		if progress != nil {
			progress(len(c.rows))
		}
	}
	return c.rows, nil
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

func (c *chosen) add(row int) {
	v := c.vector(row)
	c.rows = append(c.rows, row)
	c.vectors = append(c.vectors, v...)
	c.norms = append(c.norms, c.norm(row))
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
	heap   []candidate
}

func newShard(c *chosen, rows []int) *shard {
	s := &shard{chosen: c, heap: make([]candidate, len(rows))}
	for i, row := range rows {
		// All distances begin alike, at more than any can be, and rows rise: this is a heap already.
		s.heap[i] = candidate{distance: float32(3e38), norm: c.norm(row), row: row}
	}
	return s
}

// settle brings the top up to date until the top is exact.
func (s *shard) settle() {
	c := s.chosen
	for {
		top := &s.heap[0]
		if top.seen == len(c.rows) {
			return
		}
		bound := candidate{distance: -1}
		for _, child := range s.heap[1:min(3, len(s.heap))] {
			if child.before(bound) {
				bound = child
			}
		}
		vector := c.vector(top.row)
		for top.seen < len(c.rows) {
			other := c.vectors[top.seen*c.dim : (top.seen+1)*c.dim]
			d := top.norm + c.norms[top.seen] - 2*c.dot(c.dim, vector, 1, other, 1)
			if c.rows[top.seen] == top.row {
				d = 0 // exactly, whatever rounding says
			}
			top.distance = min(top.distance, max(0, d))
			top.seen++
			if bound.before(*top) {
				break
			}
		}
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
