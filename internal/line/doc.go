// Package line owns the cycle: from "a part is here" to the verdict at the PLC, and the law that
// every trigger gets exactly one verdict, in time, and that silence counts as reject.
//
// The law lives in Step, a pure function from a state and an event to the next state and the
// actions to take. Runner carries the actions out and turns their results into events. Neither knows
// what a PLC, a camera, a network or a database is: the small interfaces below are all that the line
// asks of them.
package line

import (
	"context"
	"time"

	"linectl/internal/part"
)

// PLC takes what the line has to say. Each call returns when the PLC has confirmed it.
type PLC interface {
	Answer(ctx context.Context, result part.Result) error
	Clear(ctx context.Context) error
	Report(ctx context.Context, status part.Status) error
}

// Camera gives a frame whose exposure began at or after the given instant.
type Camera interface {
	Grab(ctx context.Context, after time.Time) (part.Frame, error)
}

// Inspector says what a frame shows. A call cannot be cancelled: it returns when it is done.
type Inspector interface {
	Inspect(ctx context.Context, frame part.Frame) (part.Finding, error)
	Recipe() part.Recipe
}

// Store keeps the record. Insert returns when the row is durable; all else is queued by the store.
type Store interface {
	Insert(ctx context.Context, record part.Record) (id int64, err error)
	Deliver(id int64, delivery part.Delivery)
	Late(id int64, finding part.Finding)
	KeepPicture(id int64, frame part.Frame, verdict part.Verdict)
	LosePicture(id int64, verdict part.Verdict, why error)
	Recover(ctx context.Context, station string, told part.Told, begins part.Count) (recovered bool, err error)
	Last(ctx context.Context, station string) (part.Count, error)
	Event(kind, who, detail string)
	Healthy() error
}
