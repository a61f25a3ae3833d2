package line

import (
	"time"

	"linectl/internal/part"
)

// Event is something that happened; every event says when, on the monotonic clock.
type Event interface{ at() time.Time }

// At is the instant of an event.
type At struct{ Time time.Time }

func (a At) at() time.Time { return a.Time }

// The events of a line. Cycle numbers what an answer belongs to: an answer to a cycle that is over
// is never taken for one of the present cycle.
type (
	// Connected begins a session: the tags are verified and the outputs are safe.
	Connected struct {
		At
		Snapshot part.Snapshot
	}
	// Disconnected ends a session.
	Disconnected struct {
		At
		Err error
	}
	// Recovered says that the PLC's own record of the last result has been compared with the store's.
	Recovered struct {
		At
		Session int
		Err     error
	}
	// Triggered is "a part is here".
	Triggered struct {
		At
		Trigger part.Trigger
	}
	// Withdrawn says that the PLC took the result or gave up: part_present fell.
	Withdrawn struct{ At }
	// Stale says that the PLC's program stopped (its heartbeat stands) or runs.
	Stale struct {
		At
		Stale bool
	}
	// Began says which stage of the inspection now runs.
	Began struct {
		At
		Cycle int
		Stage string
	}
	// Inspected is the end of an inspection, good or bad.
	Inspected struct {
		At
		Cycle   int
		Frame   *part.Frame // nil where there was none
		Digest  string
		Finding *part.Finding // nil where nothing was found out
		Stages  []part.Stage
		Err     error
	}
	// Stored says that the row of a cycle is durable, or that it could not be made so in time.
	Stored struct {
		At
		Cycle int
		Took  time.Duration
		Err   error
	}
	// Answered is the end of an attempt to tell the PLC. Begun is false where nothing was sent:
	// without an error because it was too late to begin, with one because there was no session.
	Answered struct {
		At
		Answer Answer
		Begun  bool
		Took   time.Duration
		Err    error
	}
	// Expired is a timer of a cycle that ran out.
	Expired struct {
		At
		Cycle int
		Timer Timer
	}
	// Health says whether something that the line needs works; a nil error is good news.
	Health struct {
		At
		Source string
		Reason part.Reason
		Err    error
	}
	// Tick comes four times a second while the line's own loop runs.
	Tick struct{ At }
	// Stop asks the line to end.
	Stop struct{ At }
)

// Timer names what a timer is for.
type Timer int

// The timers of a cycle.
const (
	DeadlineTimer Timer = iota // the verdict must be decided
	AckTimer                   // the PLC should have taken the result
	EndTimer                   // a reject waits for its row no longer
)

// Action is something that the runner carries out.
type Action interface{ action() }

// The actions of a line.
type (
	// Inspect grabs a frame and inspects it. At most one runs at a time.
	Inspect struct {
		Cycle    int
		Trigger  part.Trigger
		Deadline time.Time
	}
	// StartTimer asks for an Expired event.
	StartTimer struct {
		Cycle int
		Timer Timer
		When  time.Time
	}
	// Insert makes a row durable. A row that cannot be stored yet is tried again, in order, until it can.
	Insert struct {
		Cycle  int
		Record part.Record
		Frame  *part.Frame // to be kept after the row, off the cycle's path
	}
	// Answer tells the PLC. Where Before is set, it must not begin at or after that instant; it is given
	// up at Until.
	Answer struct {
		Cycle  int
		Result part.Result
		Stages []part.Stage // of the cycle so far
		Detail string       // for people, where the result is not what the row says
		Before time.Time
		Until  time.Time
	}
	// Clear takes the result back after the PLC has taken it: outputs rest safe.
	Clear struct{}
	// Report tells the PLC how the station is.
	Report struct{ Status part.Status }
	// Deliver adds what became of the result to the row of a cycle.
	Deliver struct {
		Cycle    int
		Delivery part.Delivery
	}
	// KeepLate adds to the row of a cycle what came after its deadline: what was found, the frame, or both.
	KeepLate struct {
		Cycle   int
		Finding *part.Finding
		Frame   *part.Frame
	}
	// Recover compares what the PLC was told last with the store, and keeps where counting begins if
	// this session begins it. The station is ready only when that is durable.
	Recover struct {
		Session int
		Told    part.Told
		Begins  part.Count // zero: counting goes on
	}
	// Note adds an event to the log and to the record.
	Note struct{ Kind, Detail string }
	// GiveUp ends the line: what inspects does not work any more, and nothing here can repair it.
	GiveUp struct{ Err error }
	// Alive tells the supervisor of the process that the line's loop and its workers turn.
	Alive struct{}
)

func (Inspect) action()    {}
func (StartTimer) action() {}
func (Insert) action()     {}
func (Answer) action()     {}
func (Clear) action()      {}
func (Report) action()     {}
func (Deliver) action()    {}
func (KeepLate) action()   {}
func (Recover) action()    {}
func (Note) action()       {}
func (GiveUp) action()     {}
func (Alive) action()      {}
