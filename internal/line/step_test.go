package line

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"linectl/internal/part"
)

// connected returns a world with a link, its self-read-back done and nothing under way.
func connected(t *testing.T, mode Mode) *world {
	w := newWorld(t, mode)
	w.sequence = 41
	w.connect()
	w.recover()
	return w
}

// part brings the next part.
func (w *world) part() {
	w.sequence++
	w.present = true
	w.step(Triggered{w.at(), w.trigger()})
}

// last returns the row and the answer of the newest cycle; the answer's Cycle is 0 where there is none.
func (w *world) last() (part.Record, Answer) {
	var answer Answer
	for _, a := range w.speech {
		if a, ok := a.(Answer); ok {
			answer = a
		}
	}
	return w.inserted[w.state.count], answer
}

// TestNoJournal: where nothing at the PLC tells after a crash what it was told, a reject is told when its row is
// durable, and at the cycle's end whether it is or not.
func TestNoJournal(t *testing.T) {
	for _, c := range []struct {
		name string
		play func(*world)
		told part.Reason // None: nobody is told yet
	}{
		{"the row is not durable yet", func(w *world) { w.inspected(3) }, part.None},
		{"it is", func(w *world) { w.inspected(3); w.store(true) }, part.Anomaly},
		{"the disk refuses it", func(w *world) { w.inspected(3); w.store(false) }, part.None},
		{"and takes it later", func(w *world) { w.inspected(3); w.store(false); w.store(true) }, part.Anomaly},
		{"the deadline of a pass is not that of a reject", func(w *world) { w.inspected(3); w.advance(95*time.Millisecond, false) }, part.None},
		{"the cycle ends", func(w *world) { w.inspected(3); w.advance(testCycle, false) }, part.Anomaly},
		{"nothing found by the deadline", func(w *world) { w.advance(95*time.Millisecond, false); w.store(true) }, part.Deadline},
		{"linectl stops", func(w *world) { w.inspected(3); w.step(Stop{w.at()}) }, part.Anomaly},
	} {
		w := connected(t, Auto)
		w.mute, w.state.settings.NoJournal = c.name != "linectl stops", true // who stops waits no longer
		w.part()
		c.play(w)
		reason := part.None
		if _, answer := w.last(); answer.Cycle != 0 {
			reason = answer.Result.Reason
		}
		if reason != c.told {
			t.Errorf("%s: told %q, want %q", c.name, reason, c.told)
		}
	}
}

// TestReasons: each way in which a part is not passed has its own reason, in the record and at the PLC.
func TestReasons(t *testing.T) {
	tests := []struct {
		name   string
		mode   Mode
		play   func(*world)
		row    part.Reason
		told   part.Reason // None: nobody is told
		detail string
	}{
		{"anomaly", Auto, func(w *world) { w.part(); w.inspected(3) }, part.Anomaly, part.Anomaly, ""},
		{"score on the threshold", Auto, func(w *world) { w.part(); w.inspected(4) }, part.Anomaly, part.Anomaly, ""},
		{"frame older than the trigger", Auto, func(w *world) { w.part(); w.inspected(5) }, part.StaleFrame, part.StaleFrame, "exposed 0s before the trigger"},
		{"score not a number", Auto, func(w *world) { w.part(); w.inspected(6) }, part.ScoreInvalid, part.ScoreInvalid, "score NaN, threshold 2"},
		{"picture too dark", Auto, func(w *world) { w.part(); w.inspected(7) }, part.TooDark, part.TooDark, ""},
		{"no frame", Auto, func(w *world) { w.part(); w.inspected(8) }, part.NoFrame, part.NoFrame, "no frame"},
		{"another recipe's score", Auto, func(w *world) { w.part(); w.inspected(9) }, part.RecipeMismatch, part.RecipeMismatch, "scored with bracket version 2"},
		{"late inspection", Auto, func(w *world) { w.part(); w.advance(95*time.Millisecond, false) }, part.Deadline, part.Deadline,
			"stage grab: 95.0 ms after the trigger; the cycle is 100ms"},
		{"late store", Auto, func(w *world) { w.part(); w.inspected(0); w.advance(95*time.Millisecond, false) }, part.None, part.Deadline, ""},
		{"row not stored", Auto, func(w *world) { w.part(); w.inspected(0); w.store(false) }, part.None, part.NotStored, ""},
		{"PLC goes on", Auto, func(w *world) { w.part(); w.part() }, part.Busy, part.Busy, ""},
		{"part after a late one still runs", Auto, func(w *world) {
			w.part()
			w.advance(95*time.Millisecond, false)
			w.speak(true)
			w.present = false
			w.step(Withdrawn{w.at()})
			w.part()
		}, part.Busy, part.Busy, ""},
		{"PLC withdraws", Auto, func(w *world) { w.part(); w.step(Withdrawn{w.at()}) }, part.Overrun, part.None, "the PLC withdrew the part before its verdict"},
		{"link lost", Auto, func(w *world) { w.part(); w.disconnect() }, part.LinkLost, part.None, "cable cut"},
		{"link lost and back while the part waits", Auto, func(w *world) { w.part(); w.disconnect(); w.connect() }, part.LinkLost, part.LinkLost, "cable cut"},
		{"link lost before the result went out, and back while the part waits", Auto, func(w *world) {
			w.part()
			w.inspected(3)
			w.disconnect()
			w.connect()
		}, part.Anomaly, part.LinkLost, ""},
		{"the same, and who writes heard of it first", Auto, func(w *world) {
			w.part()
			w.inspected(3)
			w.unsent()
			w.disconnect()
			w.connect()
		}, part.Anomaly, part.LinkLost, ""},
		{"a pass that was not sent", Auto, func(w *world) {
			w.part()
			w.inspected(0)
			w.store(true)
			w.disconnect()
			w.connect()
		}, part.None, part.LinkLost, ""},
		{"told of the loss, which was lost as well", Auto, func(w *world) {
			w.part()
			w.disconnect()
			w.connect()
			w.disconnect()
			w.connect()
		}, part.LinkLost, part.LinkLost, "cable cut"},
		{"link lost while the result went out", Auto, func(w *world) { w.part(); w.inspected(3); w.speak(false); w.connect() }, part.Anomaly, part.None, ""},
		{"link lost after the result was told", Auto, func(w *world) { w.part(); w.inspected(3); w.speak(true); w.disconnect(); w.connect() }, part.Anomaly, part.None, ""},
		{"link lost before the result went out, after the PLC gave up", Auto, func(w *world) {
			w.part()
			w.inspected(3)
			w.step(Withdrawn{w.at()})
			w.disconnect()
			w.connect()
		}, part.Anomaly, part.None, ""},
		{"link lost after the result was told, that of the part before was not sent", Auto, func(w *world) {
			w.part()
			w.inspected(3)
			_, before := w.last()
			w.speech = nil
			w.part()
			w.speak(true) // takes the result before back
			w.speak(true)
			w.disconnect()
			w.step(Answered{At: w.at(), Answer: before, Err: part.ErrNotSent})
			w.connect()
		}, part.Busy, part.None, ""},
		{"part there at start", Auto, func(w *world) {
			w.disconnect()
			w.sequence, w.present = 42, true
			w.connect()
		}, part.PresentAtStart, part.PresentAtStart, ""},
		{"part there at the first look", Auto, func(w *world) {
			w.sequence, w.present = 42, true
			t := w.trigger()
			t.Standing = true
			w.step(Triggered{w.at(), t})
		}, part.PresentAtStart, part.PresentAtStart, ""},
		{"before the self-read-back", Auto, func(w *world) { w.disconnect(); w.connect(); w.part() }, part.NotReady, part.NotReady, ""},
		{"PLC's program stands", Auto, func(w *world) { w.step(Stale{w.at(), true}); w.part() }, part.NotReady, part.NotReady, ""},
		{"PLC's program not seen to run yet", Auto, func(w *world) {
			w.disconnect()
			w.link = true
			w.step(Connected{w.at(), part.Snapshot{Trigger: w.trigger(), Unproven: true}})
			w.recover()
			if s := w.state.Status(); s.Ready || s.Fault {
				w.t.Errorf("%+v", s)
			}
			w.part()
		}, part.NotReady, part.NotReady, ""},
		{"PLC's program seen to run", Auto, func(w *world) {
			w.disconnect()
			w.link = true
			w.step(Connected{w.at(), part.Snapshot{Trigger: w.trigger(), Unproven: true}})
			w.recover()
			w.step(Stale{w.at(), false})
			w.part()
			w.inspected(3)
		}, part.Anomaly, part.Anomaly, ""},
		{"camera down", Auto, func(w *world) { w.step(Health{w.at(), "camera", part.NoFrame, errors.New("unplugged")}); w.part() }, part.NoFrame, part.NoFrame, ""},
		{"recipe that the PLC asks for", Auto, func(w *world) {
			w.sequence++
			trigger := w.trigger()
			trigger.Recipe = "other"
			w.step(Triggered{w.at(), trigger})
		}, part.RecipeMismatch, part.RecipeMismatch, `the PLC asks for recipe "other", "bracket" is active`},
		{"shadow, good part", Shadow, func(w *world) { w.part(); w.inspected(0) }, part.None, part.Shadow, ""},
		{"shadow, bad part", Shadow, func(w *world) { w.part(); w.inspected(3) }, part.Anomaly, part.Shadow, ""},
		{"shadow, no frame", Shadow, func(w *world) { w.part(); w.inspected(8) }, part.NoFrame, part.NoFrame, "no frame"},
		{"bypass", Bypass, func(w *world) { w.part() }, part.Bypass, part.Bypass, ""},
		{"maintenance", Maintenance, func(w *world) { w.part() }, part.Maintenance, part.Maintenance, ""},
		{"linectl stops", Auto, func(w *world) { w.part(); w.step(Stop{w.at()}) }, part.Interrupted, part.Interrupted, ""},
		{"part after the stop", Auto, func(w *world) { w.step(Stop{w.at()}); w.part() }, part.Interrupted, part.Interrupted, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := connected(t, test.mode)
			test.play(w)
			row, answer := w.last()
			if row.Reason != test.row || row.Trigger.Sequence.Value != w.sequence {
				t.Errorf("row: reason %q for sequence %s, want %q", row.Reason, row.Trigger.Sequence, test.row)
			}
			if row.Detail != test.detail {
				t.Errorf("row: detail %q, want %q", row.Detail, test.detail)
			}
			switch {
			case test.told == part.None && answer.Cycle != 0:
				t.Errorf("the PLC is told %q; nothing should be sent", answer.Result.Reason)
			case test.told != part.None && (answer.Result.Reason != test.told || answer.Result.Verdict != part.Reject):
				t.Errorf("the PLC is told %s %q, want reject %q", answer.Result.Verdict, answer.Result.Reason, test.told)
			}
		})
	}
}

// TestPass: a good part, step by step, and the station is ready again after the PLC took the result.
func TestPass(t *testing.T) {
	w := connected(t, Auto)
	if !w.state.Status().Ready {
		t.Fatal("not ready before the first part")
	}
	w.part()
	if status := w.state.Status(); status.Ready || !status.Busy {
		t.Fatalf("while inspecting: %+v", status)
	}
	w.inspected(0)
	if _, answer := w.last(); answer.Cycle != 0 {
		t.Fatal("the pass is sent before its row is durable")
	}
	w.store(true)
	if _, answer := w.last(); answer.Result.Verdict != part.Pass {
		t.Fatal("the pass is not sent after its row is durable")
	}
	w.speak(true)
	w.step(Withdrawn{w.at()})
	if len(w.speech) != 1 || w.speech[0] != (Clear{}) {
		t.Fatalf("after the PLC took the result: %v, want a clear", w.speech)
	}
	if !w.state.Status().Ready {
		t.Fatal("not ready after the part")
	}
}

// TestGaps: parts that went by unseen become one row that says how many, in the counter's own width.
func TestGaps(t *testing.T) {
	tests := []struct {
		name        string
		from, to    part.Sequence
		missed      uint32
		lastMissing uint32
	}{
		{"next part", part.Sequence{Value: 7, Bits: 32}, part.Sequence{Value: 8, Bits: 32}, 0, 0},
		{"three missed", part.Sequence{Value: 7, Bits: 32}, part.Sequence{Value: 11, Bits: 32}, 3, 10},
		{"16 bits wrap", part.Sequence{Value: 65534, Bits: 16}, part.Sequence{Value: 1, Bits: 16}, 2, 0},
		{"16 bits wrap to zero", part.Sequence{Value: 65534, Bits: 16}, part.Sequence{Value: 0, Bits: 16}, 1, 65535},
		{"32 bits wrap", part.Sequence{Value: 1<<32 - 1, Bits: 32}, part.Sequence{Value: 1, Bits: 32}, 1, 0},
		{"PLC restarted", part.Sequence{Value: 500, Bits: 32}, part.Sequence{Value: 1, Bits: 32}, 0, 0},
		{"PLC restarted, high in 16 bits", part.Sequence{Value: 40000, Bits: 16}, part.Sequence{Value: 1, Bits: 16}, 0, 0},
		{"another PLC", part.Sequence{Value: 500, Bits: 32}, part.Sequence{Value: 4_000_000, Bits: 32}, 0, 0},
		{"another width", part.Sequence{Value: 500, Bits: 16}, part.Sequence{Value: 700, Bits: 32}, 0, 0},
		{"first part ever", part.Sequence{}, part.Sequence{Value: 9, Bits: 32}, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, Auto)
			w.state.last = test.from
			w.state.link, w.state.recovered, w.link = true, true, true
			w.sequence = test.to.Value
			w.step(Triggered{w.at(), part.Trigger{Sequence: test.to, SeenAt: w.now}})
			var missed part.Record
			for _, r := range w.inserted {
				if r.Reason == part.MissedTrigger {
					missed = r
				}
			}
			if missed.Missed != test.missed || missed.Trigger.Sequence.Value != test.lastMissing {
				t.Errorf("%d missed up to %s, want %d up to %d", missed.Missed, missed.Trigger.Sequence, test.missed, test.lastMissing)
			}
			if w.state.missed != test.missed {
				t.Errorf("the PLC is told of %d missed parts, want %d", w.state.missed, test.missed)
			}
		})
	}
}

// TestSessionBegins: what the counter says when a session begins, and what the next part then makes of it.
func TestSessionBegins(t *testing.T) {
	tests := []struct {
		name                 string
		known, found, next   uint32 // the record's last, the PLC's counter, that of the next part
		missedAtOnce, missed uint32
		inspected            bool
		width                int
	}{
		{"nothing new", 41, 41, 42, 0, 0, true, 16},
		{"counted, not yet shown", 41, 42, 42, 0, 0, true, 16},
		{"went by", 41, 42, 43, 0, 1, true, 16},
		{"many went by", 41, 51, 52, 9, 10, true, 16},
		{"PLC restarted", 41, 0, 1, 0, 0, true, 16},
		{"PLC restarted, counted, not yet shown", 41, 1, 1, 0, 0, true, 16},
		{"another width", 41, 9, 10, 0, 0, true, 32},
		{"seen already", 41, 41, 41, 0, 0, false, 16},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, Auto)
			w.state.last = part.Sequence{Value: test.known, Bits: 16}
			w.link = true
			at := func(value uint32) part.Trigger {
				return part.Trigger{Sequence: part.Sequence{Value: value, Bits: test.width}, SeenAt: w.now}
			}
			w.sequence = test.next
			w.step(Connected{w.at(), part.Snapshot{Trigger: at(test.found)}})
			w.recover()
			if w.state.missed != test.missedAtOnce {
				t.Errorf("%d parts missed at once, want %d", w.state.missed, test.missedAtOnce)
			}
			w.step(Triggered{w.at(), at(test.next)})
			if w.state.missed != test.missed {
				t.Errorf("%d parts missed, want %d", w.state.missed, test.missed)
			}
			if inspected := len(w.inspections) == 1; inspected != test.inspected {
				t.Errorf("inspected %v, want %v", inspected, test.inspected)
			}
		})
	}
}

// TestOwedToNobodyElse: what is owed to one part is told to no other, though the PLC's echo names that one as told.
func TestOwedToNobodyElse(t *testing.T) {
	w := connected(t, Auto)
	w.part()
	w.inspected(3)
	w.disconnect()
	w.sequence, w.link = w.sequence+1, true
	w.step(Connected{w.at(), part.Snapshot{Trigger: w.trigger(), Present: true, Told: part.Told{Sequence: w.seq()}}})
	if _, answer := w.last(); answer.Cycle != 0 {
		t.Errorf("at sequence %d the PLC is told a result of %s", w.sequence, answer.Result.Trigger.Sequence)
	}
}

// TestDiskOutage: a row that the disk refuses is a fault, which people are told of once, and which lasts until no row
// waits any more: the row of a good part would wait behind them for too long.
func TestDiskOutage(t *testing.T) {
	w := connected(t, Auto)
	well := func() { w.step(Health{At: w.at(), Source: "store", Reason: part.NotStored}) }
	faulty := func(when string) {
		t.Helper()
		if s := w.state.Status(); s.Ready || !s.Fault || s.FaultCode != part.NotStored {
			t.Errorf("%s: %+v", when, s)
		}
	}
	next := func() {
		w.present = false
		w.speak(true)
		w.step(Withdrawn{w.at()})
		w.speak(true)
		w.part()
	}
	w.part()
	w.inspected(0)
	w.store(false)
	faulty("a row is refused")
	next()
	if _, answer := w.last(); answer.Result.Reason != part.NotStored {
		t.Errorf("the next part is told %q", answer.Result.Reason)
	}
	w.store(false)
	well()
	faulty("the disk is well, two rows wait")
	w.store(true)
	well()
	faulty("the disk is well, a row waits")
	w.store(true)
	w.speak(true)
	w.step(Withdrawn{w.at()})
	w.speak(true)
	well()
	if s := w.state.Status(); !s.Ready || s.Fault {
		t.Errorf("no row waits: %+v", s)
	}
	if want := []Note{{"fault", "store: disk full"}, {"fault-over", "store"}}; !slices.Equal(w.notes, want) {
		t.Errorf("people are told %v, want %v", w.notes, want)
	}
}

// TestFaultIsReported: the PLC hears of a refused row at once, and after the verdict that waits for it.
func TestFaultIsReported(t *testing.T) {
	w := connected(t, Auto)
	w.part()
	w.inspected(0)
	_, actions := Step(w.state, Stored{At: w.at(), Cycle: w.state.count, Err: errors.New("disk full")})
	var told []Action
	for _, a := range actions {
		switch a.(type) {
		case Answer, Report:
			told = append(told, a)
		}
	}
	if len(told) != 2 {
		t.Fatalf("the PLC is told %v, want a result and a report", told)
	}
	answer, first := told[0].(Answer)
	report, second := told[1].(Report)
	if !first || answer.Result.Reason != part.NotStored || !second || !report.Status.Fault {
		t.Errorf("the PLC is told %v", told)
	}
}

// TestHang: an inspection that never returns stops the sign of life, so that the process is restarted.
func TestHang(t *testing.T) {
	alive := func(w *world) bool {
		_, actions := Step(w.state, Tick{w.at()})
		for _, a := range actions {
			if a == (Alive{}) {
				return true
			}
		}
		return false
	}
	w := connected(t, Auto)
	w.part()
	w.advance(59*time.Second, false)
	if !alive(w) {
		t.Fatal("no sign of life before the limit")
	}
	w.advance(2*time.Second, false)
	if alive(w) {
		t.Fatal("a sign of life although the inspection hangs")
	}
	w.inspected(0)
	if !alive(w) {
		t.Fatal("no sign of life after the inspection returned")
	}
}

// TestShadowTellsNothing: in shadow a good part and a bad one look the same to the PLC.
func TestShadowTellsNothing(t *testing.T) {
	for _, kind := range []byte{0, 3} {
		w := connected(t, Shadow)
		w.part()
		w.inspected(kind)
		if _, answer := w.last(); !math.IsNaN(answer.Result.Score) {
			t.Errorf("the PLC is told the score %g", answer.Result.Score)
		}
	}
}

// TestFaultCode: the code is that of the fault, in every mode.
func TestFaultCode(t *testing.T) {
	for _, mode := range []Mode{Auto, Bypass} {
		w := connected(t, mode)
		w.step(Health{w.at(), "camera", part.NoFrame, errors.New("unplugged")})
		if s := w.state.Status(); !s.Fault || s.FaultCode != part.NoFrame {
			t.Errorf("mode %s: %+v", mode, s)
		}
	}
}

// TestNotSent: a result that could not be sent at all, in a session that goes on, does not keep the
// station from being ready for the next part.
func TestNotSent(t *testing.T) {
	w := connected(t, Auto)
	w.part()
	w.inspected(3)
	_, answer := w.last()
	w.step(Answered{At: w.at(), Answer: answer, Err: part.ErrNotSent})
	if !w.state.Status().Ready {
		t.Errorf("not ready: %+v", w.state.Status())
	}
}

// TestBrokenInspection: inspections that fail one after the other make a fault and end the line; one that works
// between them shows that they were accidents.
func TestBrokenInspection(t *testing.T) {
	const fails, works, noFrame = 38, 3, 8
	for _, test := range []struct {
		name   string
		kinds  []byte
		broken bool
	}{
		{"three in a row", []byte{fails, fails, fails}, true},
		{"the camera between them", []byte{fails, noFrame, fails, noFrame, fails}, true},
		{"one works", []byte{fails, fails, works, fails, fails}, false},
		{"no frame", []byte{noFrame, noFrame, noFrame, noFrame}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := connected(t, Auto)
			for _, kind := range test.kinds {
				w.part()
				w.inspected(kind)
				w.speak(true)
				w.present = false
				w.step(Withdrawn{w.at()})
				w.speak(true)
			}
			s := w.state.Status()
			if s.Fault != test.broken || s.Ready == test.broken || test.broken && s.FaultCode != part.InspectionFault || (w.gaveUp == 1) != test.broken {
				t.Errorf("%+v, gave up %d times", s, w.gaveUp)
			}
			w.part()
			if inspects := len(w.inspections) == 1; inspects == test.broken {
				t.Errorf("the next part is inspected: %v", inspects)
			}
			if _, answer := w.last(); test.broken && answer.Result.Reason != part.InspectionFault {
				t.Errorf("the next part is told %q", answer.Result.Reason)
			}
		})
	}
}

// TestSlowPLC: what two results in a row took to be told, where it is longer than the margin, is kept back for the next:
// none is begun that would be cut off, and none rejected for what a PLC was believed to take.
func TestSlowPLC(t *testing.T) {
	w := connected(t, Auto)
	tell := func(took time.Duration, err error) (kept time.Duration) {
		w.part()
		kept = testCycle - w.inspections[len(w.inspections)-1].Deadline.Sub(w.state.cycle.trigger.SeenAt)
		w.inspected(3)
		_, answer := w.last()
		w.step(Answered{At: w.at(), Answer: answer, Begun: true, Took: took, Err: err})
		w.step(Withdrawn{w.at()})
		return kept
	}
	const slow = 4 * testMargin
	for i, test := range []struct{ took, kept time.Duration }{
		{slow, testMargin}, {slow + 1, testMargin}, {slow, slow}, {time.Millisecond, slow}, {slow, testMargin}, {time.Millisecond, testMargin},
	} {
		if kept := tell(test.took, nil); kept != test.kept {
			t.Errorf("part %d: %s is kept back, want %s", i, kept, test.kept)
		}
	}
	// Neither one that was cut off nor a new session is forgotten.
	tell(slow, errors.New("not confirmed"))
	w.disconnect()
	w.step(Connected{w.at(), part.Snapshot{Trigger: w.trigger()}})
	w.link = true
	w.recover()
	tell(slow, nil)
	if kept := tell(slow, nil); kept != slow {
		t.Errorf("in the next session %s is kept back", kept)
	}
}
