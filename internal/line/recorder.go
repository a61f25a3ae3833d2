package line

import (
	"context"
	"log/slog"
	"time"

	"linectl/internal/part"
)

// frameBacklog is how many rows may wait for the disk before pictures are dropped to save memory;
// rows are never dropped.
const frameBacklog = 16

// recorder is the one goroutine that writes the record, in the order of the cycle's decisions. A row
// that cannot be stored is tried again until it can: a full disk delays the record, it does not
// lose it.
type recorder struct {
	store   Store
	station string
	log     *slog.Logger
	post    func(Event)
	work    *queue[Action]
	rows    map[int]row // of the newest cycles
}

type row struct {
	id      int64
	frame   *part.Frame
	verdict part.Verdict
}

func newRecorder(store Store, station string, log *slog.Logger, post func(Event)) *recorder {
	return &recorder{store: store, station: station, log: log, post: post, work: newQueue[Action](), rows: map[int]row{}}
}

func (r *recorder) put(a Action) {
	if insert, ok := a.(Insert); ok && insert.Frame != nil && r.work.len() > frameBacklog {
		insert.Frame = nil
		r.log.Warn("picture dropped: the record waits for the disk", "cycle", insert.Cycle)
		a = insert
	}
	r.work.put(a)
}

func (r *recorder) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.work.ready():
		}
		for _, a := range r.work.take() {
			r.write(ctx, a)
			if ctx.Err() != nil {
				r.log.Error("stopped before the record was complete", "left", r.work.len())
				return
			}
		}
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

func (r *recorder) write(ctx context.Context, a Action) {
	switch a := a.(type) {
	case Insert:
		r.insert(ctx, a)
	case Deliver:
		row, ok := r.rows[a.Cycle]
		if !ok {
			return
		}
		r.store.Deliver(row.id, a.Delivery)
		if row.frame != nil {
			r.store.KeepPicture(row.id, *row.frame, row.verdict)
			row.frame = nil
			r.rows[a.Cycle] = row
		}
	case KeepLate:
		if row, ok := r.rows[a.Cycle]; ok {
			r.store.Late(row.id, a.Finding)
		}
	case Recover:
		r.recover(ctx, a)
	case Note:
		r.log.Info(a.Detail, "event", a.Kind)
		r.store.Event(a.Kind, "linectl", a.Detail)
	case finished:
		close(a.done)
	}
}

func (r *recorder) insert(ctx context.Context, a Insert) {
	begun := time.Now()
	var id int64
	again(ctx, func() (err error) {
		id, err = r.store.Insert(ctx, a.Record)
		return err
	}, func(err error) {
		r.log.Error("row not stored; trying again", "sequence", a.Record.Trigger.Sequence, "error", err)
		r.post(Stored{At: at(), Cycle: a.Cycle, Took: time.Since(begun), Err: err})
	})
	if ctx.Err() != nil && id == 0 {
		return
	}
	r.rows[a.Cycle] = row{id, a.Frame, a.Record.Verdict}
	delete(r.rows, a.Cycle-64) // nothing comes for a cycle so long ago
	r.post(Stored{At: at(), Cycle: a.Cycle, Took: time.Since(begun)})
}

func (r *recorder) recover(ctx context.Context, a Recover) {
	again(ctx, func() error {
		recovered, err := r.store.Recover(ctx, r.station, a.Told, a.Begins)
		if recovered {
			r.log.Warn("the PLC had seen a result that the record lacked; it is recovered", "sequence", a.Told.Sequence, "verdict", a.Told.Verdict)
		}
		if err == nil {
			r.post(Recovered{At: at(), Session: a.Session})
		}
		return err
	}, func(err error) {
		r.log.Error("the PLC's last result could not be compared with the record; trying again", "error", err)
		r.post(Recovered{At: at(), Session: a.Session, Err: err})
	})
}

// again tries until try succeeds or ctx ends, and reports every failure.
func again(ctx context.Context, try func() error, failed func(error)) {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := try()
		if err == nil {
			return
		}
		failed(err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}
