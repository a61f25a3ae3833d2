package opcua

import (
	"time"

	"linectl/internal/part"
)

// sample is what one poll saw.
type sample struct {
	present  bool
	ack      bool
	sequence part.Sequence
	beat     any // value of plc_heartbeat; nil without one
	at       time.Time
}

func (v values) sample(at time.Time) sample {
	return sample{present: v.is(partPresent), ack: v.is(resultAck), sequence: v.sequence(triggerSeq), beat: v[plcHeartbeat], at: at}
}

// watch turns samples into what happened between them. It is pure: time comes with the samples.
type watch struct {
	byAck bool          // result_ack, not the fall of part_present, ends a part
	limit time.Duration // how long the heartbeat may stand
	last  sample
	open  bool          // the newest part was neither acknowledged nor given up
	seen  part.Sequence // of the newest part; unknown where there was none yet
	armed bool          // part_present was FALSE since the newest part
	asked bool          // the last sample told of a part that nobody has taken yet
	since time.Time     // when it was first seen
	beat  time.Time     // when the heartbeat changed
	beats bool          // it has changed since the session began
	stale bool
}

// newWatch takes the snapshot's sample as the state that everything else is compared with: what is
// there already is no news.
func newWatch(first sample, byAck bool, limit time.Duration) watch {
	w := watch{byAck: byAck, limit: limit, last: first, beat: first.at, open: first.present, armed: !first.present}
	if first.present {
		w.seen = first.sequence
	}
	return w
}

// changes is what a sample says, in the order in which it happened.
type changes struct {
	stale     bool // w.stale has changed, or is known for the first time
	withdrawn bool
	triggered bool // until taken is called, every further sample says so again
}

// see takes the next sample. With a counter, a new value while part_present is TRUE is a new part,
// even where part_present was not seen to fall; without one, only its rise is.
func (w *watch) see(s sample) changes {
	var c changes
	first := false
	if s.beat != w.last.beat {
		first = !w.beats
		w.beat, w.beats = s.at, true
	}
	if stale := s.beat != nil && s.at.Sub(w.beat) >= w.limit; stale != w.stale || first {
		w.stale, c.stale = stale, true
	}
	w.armed = w.armed || !s.present
	c.triggered = s.present && w.armed
	if s.sequence.Known() {
		c.triggered = s.present && s.sequence != w.seen
	}
	if c.triggered && !(w.asked && s.sequence == w.last.sequence) {
		w.since = s.at
	}
	w.asked = c.triggered
	gone := !s.present
	if w.byAck {
		gone = s.ack && !w.last.ack
	}
	if w.open && (gone || c.triggered) {
		w.open, c.withdrawn = false, true
	}
	w.last = s
	return c
}

// taken says that the part of the last sample was reported.
func (w *watch) taken() {
	w.seen, w.open, w.armed, w.asked = w.last.sequence, true, false, false
}
