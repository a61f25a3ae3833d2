package line

import "sync"

// queue hands items from any goroutine to one reader, in order, and never makes the writer wait: what
// tells the line of the world must not be held up by the line.
type queue[T any] struct {
	mu     sync.Mutex
	items  []T
	signal chan struct{} // holds a token while there may be items
}

func newQueue[T any]() *queue[T] { return &queue[T]{signal: make(chan struct{}, 1)} }

func (q *queue[T]) put(item T) {
	q.mu.Lock()
	q.items = append(q.items, item)
	q.mu.Unlock()
	select {
	case q.signal <- struct{}{}:
	default:
	}
}

// ready receives when take may find something.
func (q *queue[T]) ready() <-chan struct{} { return q.signal }

// take returns everything that waits, oldest first.
func (q *queue[T]) take() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items = nil
	return items
}

func (q *queue[T]) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}
