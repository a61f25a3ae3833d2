// Package part holds the types that cross a wall between rooms: what the PLC asks (Trigger),
// what the camera saw (Frame), what inspection found (Finding), what the line decided (Verdict,
// Reason) and what is kept (Record). It holds no behaviour beyond the arithmetic of those types
// and imports no other room.
package part

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Sequence is the PLC's part counter as read from its tag. Bits is the width of that tag (16 or
// 32); zero means that this PLC offers no counter.
type Sequence struct {
	Value uint32
	Bits  int
}

// Known tells whether the PLC gave a counter at all.
func (s Sequence) Known() bool { return s.Bits != 0 }

// Previous is the counter one part earlier, in its own width.
func (s Sequence) Previous() Sequence {
	s.Value = (s.Value - 1) & uint32(uint64(1)<<s.Bits-1)
	return s
}

func (s Sequence) String() string {
	if !s.Known() {
		return "-"
	}
	return fmt.Sprint(s.Value)
}

// How far a counter may run between two looks at it. One that has come round looks like one that began
// again at 0, so a way across 0 is believed only where it is short.
const (
	mostSteps  = 1 << 16
	mostAcross = 1 << 12
)

// Since returns how far the counter has run from the earlier value, modulo its own width. Forward is false
// where it went back, or further than a counter runs between two looks: it was set anew then.
func (s Sequence) Since(earlier Sequence) (distance uint32, forward bool) {
	mask := uint32(uint64(1)<<s.Bits - 1)
	distance = (s.Value - earlier.Value) & mask
	if s.Value < earlier.Value {
		return distance, distance <= mostAcross
	}
	return distance, distance <= min(mask/2, mostSteps)
}

// Trigger is "a part is here", as the PLC said it. Everything that names the part is latched with it.
type Trigger struct {
	Sequence Sequence
	PartID   string // serial or data-matrix code; "" where the PLC gives none
	Lot      string
	Recipe   string    // the recipe that the PLC asks for; "" leaves the choice to linectl
	UserData string    // whatever else the PLC wants kept with the part
	SeenAt   time.Time // when linectl learned of it (wall and monotonic clock); the deadline runs from here
	Standing bool      // it was there before anybody looked: since when is unknown
}

// Verdict is what the PLC is told about a part. The zero value is Reject.
type Verdict int

// A part is passed or it is rejected; there is nothing between.
const (
	Reject Verdict = iota
	Pass
)

func (v Verdict) String() string {
	if v == Pass {
		return "pass"
	}
	return "reject"
}

// ParseVerdict reads what String wrote.
func ParseVerdict(text string) (Verdict, error) {
	switch text {
	case "pass":
		return Pass, nil
	case "reject":
		return Reject, nil
	}
	return Reject, fmt.Errorf("verdict %q is neither pass nor reject", text)
}

// Stage is one stretch of the cycle and how long it took, on the monotonic clock.
type Stage struct {
	Name string // wait, grab, picture, network, score, store, write
	Took time.Duration
}

// Result is what goes to the PLC for one part.
type Result struct {
	Trigger Trigger
	Verdict Verdict
	Reason  Reason
	Score   float64 // NaN where nothing was scored
}

// NotScored is what a PLC is told where there is no score: many cannot compare a NaN.
const NotScored = -1

// ScoreTold is the score as the PLC is told it. That of a part whose inspection did not count, for being late, say, is
// kept and never told.
func (r Result) ScoreTold() float64 {
	if !r.Reason.Inspected() || math.IsNaN(r.Score) || math.IsInf(r.Score, 0) {
		return NotScored
	}
	return r.Score
}

// ErrNotSent says that a result was not sent at all: the PLC cannot have seen any of it.
var ErrNotSent = errors.New("not sent to the PLC")

// Told is what the PLC's tags say of the last result, read back when a session begins: the
// one-entry journal that lets a row be recovered after a crash.
type Told struct {
	Sequence Sequence // echo in result_seq
	PartID   string   // echo in result_part_id, "" where there is no such tag
	Verdict  Verdict  // pass only if accept was TRUE and reject was FALSE
	Reason   Reason   // from result_code; None where there is no such tag
	Score    float64  // NaN where there is no such tag
	Valid    bool     // result_valid as found
}

// Written tells whether the echo was ever written: tags start with 0, and so does a PLC that did not keep them.
func (t Told) Written() bool { return t.Valid || t.Sequence.Value != 0 || t.PartID != "" }

// Count is how far the record has come in the PLC's counting. The zero value: it has not begun.
type Count struct {
	Last  Sequence // newest counter value that is accounted for
	Fresh bool     // counting began at Last, whose own part has no row and may be still to come
}

// Snapshot is the state of the PLC's tags when a session begins.
type Snapshot struct {
	Trigger Trigger // the counter and the names as found; SeenAt is the time of the reading
	Present bool    // part_present was already TRUE: when the part came is unknown
	Told    Told
	// Unproven: whether the PLC's program runs is still to be seen. A PLC in STOP answers all of this.
	Unproven bool
}

// Status is what the PLC is told about the station itself.
type Status struct {
	Ready          bool
	Busy           bool
	Fault          bool
	FaultCode      Reason // None while there is no fault
	Heartbeat      uint16 // +1 with every turn of the line's own loop that reports
	Missed         uint32 // parts that went by unseen since start
	Overrun        uint32 // triggers while busy since start
	DeadlineMissed uint32 // verdicts that the deadline took since start
}

// Code is the fault code as the PLC is told it: 0 without a fault.
func (s Status) Code() int16 {
	if !s.Fault {
		return 0
	}
	return s.FaultCode.Code()
}

// Delivery is what became of a result on its way to the PLC.
type Delivery struct {
	Verdict Verdict // what the PLC was told, which may be a reject where inspection had found a pass
	Reason  Reason
	Outcome Outcome
	Stages  []Stage       // every stage of the cycle, the write included
	Total   time.Duration // from the trigger's arrival to result_valid at the PLC, or to giving up
	Error   string
}

// Outcome says how a delivery ended.
type Outcome string

// The ways in which a delivery ends.
const (
	Written   Outcome = "written"   // the PLC confirmed data and result_valid
	Failed    Outcome = "failed"    // the PLC did not confirm; it may or may not have seen the result
	Skipped   Outcome = "skipped"   // nothing was sent: nobody waits for it
	Recovered Outcome = "recovered" // seen in the PLC's own tags after a restart
)
