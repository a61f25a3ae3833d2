package line

import (
	"slices"
	"time"

	"linectl/internal/part"
)

// Settings is what Step needs to know of the config.
type Settings struct {
	Station     string
	Cycle       time.Duration // trigger seen to verdict at the PLC
	WriteMargin time.Duration // of which kept back for the write, or more where the PLC is slow
	AckTimeout  time.Duration
	HangLimit   time.Duration // an inspection that runs longer will not return: the process should be restarted
	Mode        Mode
	Recipe      part.Recipe // the active one
	Software    string
	NoJournal   bool // nothing at the PLC tells after a crash what it was told: its rejects, too, wait for their rows
}

// phase is how far the open cycle has come.
type phase int

const (
	idle       phase = iota // no part is waiting for anything
	inspecting              // grab and inspection run; undecided
	storing                 // decided; it is not told before its row is durable
	answering               // decided; the PLC is being told
	answered                // the PLC has the result and has not taken it yet
)

// cycle is one part on its way from trigger to acknowledgement.
type cycle struct {
	number    int
	phase     phase
	trigger   part.Trigger
	deadline  time.Time    // decide by then: what remains of the cycle belongs to the write
	end       time.Time    // the verdict has to be at the PLC by then
	verdict   part.Verdict // to be told when the row is durable
	reason    part.Reason
	detail    string
	score     float64
	stages    []part.Stage
	withdrawn bool // the PLC dropped part_present while it was being told
}

// fault is something that the line needs and that does not work.
type fault struct {
	source string
	reason part.Reason
}

// State is everything that Step remembers. Make one with NewState; its zero value is not a line.
type State struct {
	settings Settings

	link      bool          // a session is up and its outputs are safe
	session   int           // counts sessions
	took      time.Duration // what telling the last result took
	margin    time.Duration // kept back from a cycle for the write
	recovered bool          // the PLC's record of its last result has been compared with the store's in this session
	unproven  bool          // the PLC's program has not been seen to run in this session
	stale     bool          // the PLC's program stands
	faults    []fault
	stopping  bool

	last     part.Sequence // newest counter value that has been accounted for
	baseline bool          // last is where the count began, and no part of it has been seen
	count    int           // number of the newest cycle
	cycle    cycle         // the newest one
	owed     bool          // the newest trigger has its row or will, but nobody began to tell the PLC, and it did not give up
	raised   bool          // an answer was sent after the last clear: result_valid may be TRUE

	working int       // cycle whose inspection runs, 0 if none: it may outlive its cycle
	since   time.Time // when it began
	stage   string    // which stage it is in
	failed  int       // inspections that failed by themselves, one after the other

	unstored int // rows that are not durable yet

	beat           uint16
	missed         uint32
	overrun        uint32
	deadlineMissed uint32
}

// NewState is a line without a session. Last is how far the record has come, so that parts that went by
// while linectl was not running are noticed.
func NewState(settings Settings, last part.Count) State {
	return State{settings: settings, margin: settings.WriteMargin, last: last.Last, baseline: last.Fresh}
}

// Status is what the PLC is told about the station: ready only if a trigger at this moment would be inspected.
func (s State) Status() part.Status {
	status := part.Status{
		Ready:          s.link && s.refusal(part.Trigger{}) == part.None && s.cycle.phase == idle && !s.raised,
		Busy:           s.cycle.phase == inspecting || s.cycle.phase == storing || s.working != 0,
		FaultCode:      part.None,
		Heartbeat:      s.beat,
		Missed:         s.missed,
		Overrun:        s.overrun,
		DeadlineMissed: s.deadlineMissed,
	}
	switch {
	case len(s.faults) > 0:
		status.Fault, status.FaultCode = true, s.faults[0].reason
	case s.stale:
		status.Fault, status.FaultCode = true, part.NotReady
	}
	return status
}

// refusal is the reason for which a trigger cannot be inspected now; None if it can.
func (s State) refusal(t part.Trigger) part.Reason {
	switch {
	case t.Standing:
		return part.PresentAtStart
	case s.stopping:
		return part.Interrupted
	case s.settings.Mode == Bypass:
		return part.Bypass
	case s.settings.Mode == Maintenance:
		return part.Maintenance
	case len(s.faults) > 0:
		return s.faults[0].reason
	case s.stale || s.unproven || !s.recovered:
		return part.NotReady
	case s.working != 0:
		return part.Busy
	case t.Recipe != "" && t.Recipe != s.settings.Recipe.Name:
		return part.RecipeMismatch
	}
	return part.None
}

// withFault returns the faults with that of one source set, or removed where reason is None, and
// whether that changed anything. The slice is copied: states are values.
func (s State) withFault(source string, reason part.Reason) ([]fault, bool) {
	i := slices.IndexFunc(s.faults, func(f fault) bool { return f.source == source })
	switch {
	case i < 0 && reason == part.None, i >= 0 && s.faults[i].reason == reason:
		return s.faults, false
	case i < 0:
		return append(slices.Clone(s.faults), fault{source, reason}), true
	case reason == part.None:
		return slices.Delete(slices.Clone(s.faults), i, i+1), true
	}
	faults := slices.Clone(s.faults)
	faults[i].reason = reason
	return faults, true
}

// settled tells whether nothing is under way that the PLC or the record still waits for.
func (s State) settled() bool {
	return s.working == 0 && (s.cycle.phase == idle || !s.link)
}
