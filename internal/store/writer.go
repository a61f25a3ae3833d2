package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// errClosed is the answer to whoever writes after Close.
var errClosed = errors.New("it is closed")

// batch is the most tasks that one commit takes, so that who waits for the first does not wait for all.
const batch = 64

// writer is the one goroutine that writes to the record. It commits what is queued in one
// transaction, so that the cost of making it durable is shared, and in the order of the queue.
type writer struct {
	db    *sql.DB
	seals *sealer
	limit int // of tasks that nobody waits for
	log   *slog.Logger

	mu     sync.Mutex
	queue  []*task
	closed bool
	signal chan struct{} // holds a token while there may be something to do
	done   chan struct{}

	dropped *losses
	kept    []*task               // refused by the disk, tried again; the writer's own
	notes   atomic.Int64          // tasks that nobody waits for, queued or kept
	failure atomic.Pointer[error] // of the newest attempt; nil while the disk takes what it is given
	since   atomic.Int64          // when the present transaction began, Unix nanoseconds; 0 while none runs
}

// task is one thing to write. Its do may be called more than once, each time in a new transaction.
type task struct {
	name string
	do   func(*ledger) error
	done chan error  // nil: nobody waits
	took atomic.Bool // the writer has begun with it, or who waited has given up: whoever is first
}

func newWriter(db *sql.DB, seals *sealer, limit int, log *slog.Logger) *writer {
	w := &writer{
		db: db, seals: seals, limit: limit, log: log,
		signal:  make(chan struct{}, 1),
		done:    make(chan struct{}),
		dropped: newLosses(log, "deliveries or events not kept"),
	}
	go w.run()
	return w
}

// wait queues a task and returns when it is durable. If ctx ends before the writer has begun with it,
// it is never begun.
func (w *writer) wait(ctx context.Context, name string, do func(*ledger) error) error {
	t := &task{name: name, do: do, done: make(chan error, 1)}
	if !w.add(t) {
		return errClosed
	}
	select {
	case err := <-t.done:
		return err
	case <-ctx.Done():
		if t.took.CompareAndSwap(false, true) {
			return fmt.Errorf("not begun: %w", context.Cause(ctx))
		}
		return <-t.done
	}
}

// put queues a task that nobody waits for.
func (w *writer) put(name string, do func(*ledger) error) {
	if w.notes.Add(1) > int64(w.limit) {
		w.notes.Add(-1)
		w.dropped.add(errors.New("the disk takes nothing and the queue is full"), "what", name)
		return
	}
	if !w.add(&task{name: name, do: do}) {
		w.notes.Add(-1)
		w.dropped.add(errClosed, "what", name)
	}
}

func (w *writer) add(t *task) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.queue = append(w.queue, t)
	w.wake()
	return true
}

func (w *writer) wake() {
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

// take returns the next tasks to begin with, and whether more wait behind them.
func (w *writer) take() (tasks []*task, closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(batch, len(w.queue))
	for _, t := range w.queue[:n] {
		if t.took.CompareAndSwap(false, true) {
			tasks = append(tasks, t)
		}
	}
	w.queue = w.queue[n:]
	if len(w.queue) > 0 {
		w.wake()
	} else {
		w.queue = nil
	}
	return tasks, w.closed && len(w.queue) == 0
}

func (w *writer) run() {
	defer close(w.done)
	retry := time.NewTicker(retryEvery)
	defer retry.Stop()
	for {
		again := false
		select {
		case <-w.signal:
		case <-retry.C:
			again = w.failure.Load() != nil || len(w.kept) > 0
		}
		tasks, closed := w.take()
		if again || closed {
			tasks = append(w.kept, tasks...)
			w.kept = nil
		}
		if again && len(tasks) == 0 { // everybody who wanted to write has given up
			tasks = []*task{w.probe()}
		}
		w.write(tasks)
		if closed {
			return
		}
	}
}

// probe is a write that changes nothing: it finds out whether the disk takes writes again when
// nobody has anything to write.
func (w *writer) probe() *task {
	return &task{name: "probe", done: make(chan error, 1), do: func(tx *ledger) error {
		_, err := tx.Exec(`UPDATE meta SET value = value WHERE key = 'uuid'`)
		return err
	}}
}

// write commits the tasks together. Where that fails each gets a transaction of its own, so that one
// bad row cannot take others with it; but a disk that refuses one is not asked for the rest.
func (w *writer) write(tasks []*task) {
	if len(tasks) == 0 {
		return
	}
	err := w.commit(tasks)
	if err == nil || len(tasks) == 1 {
		w.note(err)
		for _, t := range tasks {
			w.settle(t, err)
		}
		return
	}
	for i, t := range tasks {
		err := w.commit(tasks[i : i+1])
		w.note(err)
		w.settle(t, err)
		if refusedByDisk(err) {
			for _, t := range tasks[i+1:] {
				w.settle(t, err)
			}
			return
		}
	}
}

func (w *writer) commit(tasks []*task) error {
	w.since.Store(time.Now().UnixNano())
	defer w.since.Store(0)
	var sealed *Seal
	err := inLedger(context.Background(), w.db, func(l *ledger) (err error) {
		if sealed, err = w.seals.seal(l); err != nil {
			return err
		}
		for _, t := range tasks {
			if err := t.do(l); err != nil {
				return err
			}
		}
		return nil
	})
	if sealed != nil && err == nil {
		w.seals.day = dayOf(sealed.At)
		text, _ := json.Marshal(sealed)
		w.log.Info("the record is sealed; keep this line on another machine", "seal", string(text))
	}
	return err
}

// note remembers whether the disk takes what it is given, and logs the change. A row that breaks a
// rule of the schema says nothing about the disk.
func (w *writer) note(err error) {
	switch {
	case err == nil:
		if before := w.failure.Swap(nil); before != nil {
			w.log.Info("the record can be written again")
		}
	case refusedByDisk(err):
		if before := w.failure.Swap(&err); before == nil {
			w.log.Error("the record cannot be written; trying again", "error", err)
		}
	}
}

// settle ends a task: who waits is told; a disk that refuses gets it again later; what can never be
// written is dropped.
func (w *writer) settle(t *task, err error) {
	switch {
	case t.done != nil:
		t.done <- err
	case err == nil:
		w.notes.Add(-1)
	case refusedByDisk(err):
		w.kept = append(w.kept, t)
	default:
		w.notes.Add(-1)
		w.dropped.add(err, "what", t.name)
	}
}

// healthy says what is wrong with the disk as the writer sees it.
func (w *writer) healthy() error {
	if since := w.since.Load(); since != 0 {
		if hung := time.Since(time.Unix(0, since)); hung > hangLimit {
			return fmt.Errorf("a write has been under way for %s: the disk does not answer", hung.Round(time.Second))
		}
	}
	if err := w.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// close writes what is queued and waits for it.
func (w *writer) close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.wake()
	<-w.done
	if lost := len(w.kept); lost > 0 {
		return fmt.Errorf("%d deliveries or events are lost: %w", lost, *w.failure.Load())
	}
	return nil
}
