package line

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"linectl/internal/part"
)

// frameBacklog is how many frames may wait for the disk before further ones are lost to save memory;
// rows are never lost.
const frameBacklog = 16

var errBacklog = fmt.Errorf("%d pictures wait for the rows of their parts", frameBacklog)

// recorder is the one goroutine that writes the record, in the order of the cycle's decisions. A row
// that cannot be stored is tried again until it can: a full disk delays the record, it does not
// lose it.
type recorder struct {
	store   Store
	station string
	log     *slog.Logger
	post    func(Event)
	work    *queue[Action]
	frames  atomic.Int32 // that wait in work
	lost    *part.Frame  // stands for one that could not wait
	rows    map[int]row  // of the newest cycles
}

type row struct {
	id      int64
	frame   *part.Frame
	verdict part.Verdict
}

func newRecorder(store Store, station string, log *slog.Logger, post func(Event)) *recorder {
	return &recorder{store: store, station: station, log: log, post: post, work: newQueue[Action](), lost: new(part.Frame), rows: map[int]row{}}
}

func (r *recorder) put(a Action) {
	switch b := a.(type) {
	case Insert:
		b.Frame = r.admit(b.Frame)
		a = b
	case KeepLate:
		b.Frame = r.admit(b.Frame)
		a = b
	}
	r.work.put(a)
}

// admit lets a frame wait, if there is room.
func (r *recorder) admit(frame *part.Frame) *part.Frame {
	if frame == nil {
		return nil
	}
	if r.frames.Add(1) > frameBacklog {
		r.frames.Add(-1)
		return r.lost
	}
	return frame
}

// admitted ends the waiting of a frame.
func (r *recorder) admitted(frame *part.Frame) {
	if frame != nil && frame != r.lost {
		r.frames.Add(-1)
	}
}

func (r *recorder) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			r.leave(nil)
			return
		case <-r.work.ready():
		}
		batch := r.work.take()
		for i, a := range batch {
			if !r.write(ctx, a) {
				r.leave(batch[i:])
				return
			}
		}
	}
}

// leave tells what a stop leaves unwritten: what is left of a batch, and what waits behind it.
func (r *recorder) leave(batch []Action) {
	var rows, others int
	for _, a := range append(batch, r.work.take()...) {
		switch a.(type) {
		case Insert:
			rows++
		case finished:
		default:
			others++
		}
	}
	if rows+others > 0 {
		r.log.Error("stopped before the record was complete", "rows lost", rows, "other entries lost", others)
	}
}

// finish waits until everything is written, or for the given time.
func (r *recorder) finish(grace time.Duration) {
	done := make(chan struct{})
	r.work.put(finished{done})
	select {
	case <-done:
	case <-time.After(grace):
	}
}

// finished marks the end of the work.
type finished struct{ done chan struct{} }

func (finished) action() {}

// write is false where ctx ended before the record took the action.
func (r *recorder) write(ctx context.Context, a Action) bool {
	switch a := a.(type) {
	case Insert:
		return r.insert(ctx, a)
	case Deliver:
		if row, ok := r.rows[a.Cycle]; ok {
			r.store.Deliver(row.id, a.Delivery)
			r.keep(row, row.frame)
			row.frame = nil
			r.rows[a.Cycle] = row
		}
	case KeepLate:
		r.admitted(a.Frame)
		if row, ok := r.rows[a.Cycle]; ok {
			if a.Finding != nil {
				r.store.Late(row.id, *a.Finding)
			}
			r.keep(row, a.Frame)
		}
	case Recover:
		return r.recover(ctx, a)
	case finished:
		close(a.done)
	}
	return true
}

func (r *recorder) keep(row row, frame *part.Frame) {
	switch frame {
	case nil:
	case r.lost:
		r.store.LosePicture(row.id, row.verdict, errBacklog)
	default:
		r.store.KeepPicture(row.id, *frame, row.verdict)
	}
}

func (r *recorder) insert(ctx context.Context, a Insert) bool {
	begun := time.Now()
	var id int64
	stored := again(ctx, func() (err error) {
		id, err = r.store.Insert(ctx, a.Record)
		return err
	}, func(err error, loud bool) {
		if loud {
			r.log.Error("row not stored; trying again", "sequence", a.Record.Trigger.Sequence, "error", err)
		}
		r.post(Stored{At: at(), Cycle: a.Cycle, Took: time.Since(begun), Err: err})
	})
	if !stored {
		return false
	}
	r.admitted(a.Frame)
	r.rows[a.Cycle] = row{id, a.Frame, a.Record.Verdict}
	delete(r.rows, a.Cycle-64) // nothing comes for a cycle so long ago
	r.post(Stored{At: at(), Cycle: a.Cycle, Took: time.Since(begun)})
	return true
}

func (r *recorder) recover(ctx context.Context, a Recover) bool {
	return again(ctx, func() error {
		recovered, err := r.store.Recover(ctx, r.station, a.Told, a.Begins)
		if recovered {
			r.log.Warn("the PLC had seen a result that the record lacked; it is recovered", "sequence", a.Told.Sequence, "verdict", a.Told.Verdict)
		}
		if err == nil {
			r.post(Recovered{At: at(), Session: a.Session})
		}
		return err
	}, func(err error, loud bool) {
		if loud {
			r.log.Error("the PLC's last result could not be compared with the record; trying again", "error", err)
		}
		r.post(Recovered{At: at(), Session: a.Session, Err: err})
	})
}

// The pauses between two tries. The station is not ready until the last row that waits is durable, so the longest is
// what a disk that is back may cost.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = time.Second
)

// again tries until try succeeds, or ctx ends, which is false, and reports every failure; loud is the first and then
// one in about half a minute.
func again(ctx context.Context, try func() error, failed func(err error, loud bool)) bool {
	wait := firstPause
	for tries := 0; ; tries++ {
		err := try()
		if err == nil {
			return true
		}
		failed(err, tries%30 == 0)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
		}
		wait = min(2*wait, longestPause)
	}
}
