package line

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"linectl/internal/part"
)

// world stands for everything outside Step, driven by a string of bytes: a PLC with a part counter, a
// camera, an inspection that may be late, a disk and a link that may fail. It carries actions out as
// the runner does, and holds what happened against the law, knowing nothing of Step's inside.
type world struct {
	t     testing.TB
	state State
	now   time.Time
	mode  Mode
	mute  bool // the PLC keeps no journal

	link        bool
	sequence    uint32 // the PLC's counter
	present     bool
	announced   bool   // the PLC has counted the next part and has not shown it yet
	firstSeen   uint32 // counter value at the first session: what came before is nobody's business
	began       bool
	told        map[uint32][]part.Verdict // results that the PLC confirmed, by sequence
	tried       map[uint32][]part.Verdict // results that were begun
	rows        map[uint32]int            // rows by sequence, gaps spread out
	deliveries  map[int]int               // by cycle
	inserted    map[int]part.Record
	durable     map[int]bool
	proven      map[int]bool // cycles whose inspection fulfilled every condition for a pass
	triggers    map[int]part.Trigger
	up          bool       // a result may be valid at the PLC and was not cleared
	echo        uint32     // result_seq as the PLC has it: the result that was written last
	count       part.Count // what the disk knows of the PLC's counting
	inspections []Inspect
	inserts     []Insert
	speech      []Action
	timers      []StartTimer
	recovers    []recovery
	gaveUp      int
	refused     bool   // the disk refused a row, and not every row that waits is durable yet
	shown       uint32 // newest counter value that this process was told of; 0 for none
	notes       []Note
}

// recovery is a self-read-back that waits for the rows before it.
type recovery struct {
	Recover
	behind int
}

const (
	testCycle  = 100 * time.Millisecond
	testMargin = 10 * time.Millisecond
)

var testRecipe = part.Recipe{Name: "bracket", Version: 3, Hash: "abc"}

func newWorld(t testing.TB, mode Mode) *world {
	return &world{
		t: t, mode: mode, now: time.Unix(1_700_000_000, 0), state: NewState(testSettings(mode), part.Count{}),
		told: map[uint32][]part.Verdict{}, tried: map[uint32][]part.Verdict{}, rows: map[uint32]int{}, deliveries: map[int]int{},
		inserted: map[int]part.Record{}, durable: map[int]bool{}, proven: map[int]bool{}, triggers: map[int]part.Trigger{},
	}
}

func testSettings(mode Mode) Settings {
	return Settings{Station: "test", Cycle: testCycle, WriteMargin: testMargin, AckTimeout: time.Second,
		HangLimit: time.Minute, Mode: mode, Recipe: testRecipe}
}

// forget makes the PLC one that keeps no journal.
func (w *world) forget() *world {
	w.mute, w.state.settings.NoJournal = true, true
	return w
}

func (w *world) seq() part.Sequence { return part.Sequence{Value: w.sequence, Bits: 32} }
func (w *world) at() At             { return At{w.now} }
func (w *world) trigger() part.Trigger {
	return part.Trigger{Sequence: w.seq(), PartID: fmt.Sprint("SN", w.sequence), SeenAt: w.now}
}

func (w *world) step(e Event) {
	var actions []Action
	w.state, actions = Step(w.state, e)
	for _, a := range actions {
		w.take(a)
	}
}

// take notes an action and checks what must hold at the moment it is decided.
func (w *world) take(a Action) {
	switch a := a.(type) {
	case Inspect:
		if len(w.inspections) > 0 {
			w.t.Fatalf("a second inspection begins while one runs")
		}
		w.inspections = append(w.inspections, a)
		w.triggers[a.Cycle] = a.Trigger
	case StartTimer:
		w.timers = append(w.timers, a)
	case Insert:
		if _, twice := w.inserted[a.Cycle]; twice {
			w.t.Fatalf("cycle %d gets a second row", a.Cycle)
		}
		w.inserted[a.Cycle] = a.Record
		w.inserts = append(w.inserts, a)
		w.book(a.Record)
	case Answer:
		w.checkAnswer(a)
		w.speech = append(w.speech, a)
	case Clear:
		w.speech = append(w.speech, a)
	case Report:
		if a.Status.Ready && (len(w.inspections) > 0 || !w.link) {
			w.t.Fatalf("ready is reported while an inspection runs or without a link")
		}
		if a.Status.Ready && w.refused {
			w.t.Fatalf("ready is reported while %d rows wait for a disk that refused one", len(w.inserts))
		}
	case Note:
		w.notes = append(w.notes, a)
	case Deliver:
		if _, ok := w.inserted[a.Cycle]; !ok {
			w.t.Fatalf("a delivery without a row, cycle %d", a.Cycle)
		}
		w.deliveries[a.Cycle]++
	case KeepLate:
		if _, ok := w.inserted[a.Cycle]; !ok {
			w.t.Fatalf("a late score without a row, cycle %d", a.Cycle)
		}
	case GiveUp:
		w.gaveUp++
	case Recover:
		w.recovers = append(w.recovers, recovery{a, len(w.inserts)})
	}
}

// book spreads a row over the counter values that it accounts for.
func (w *world) book(r part.Record) {
	for n := range max(r.Missed, 1) {
		value := r.Trigger.Sequence.Value - n
		if w.rows[value]++; w.rows[value] > 1 {
			w.t.Fatalf("sequence %d has more than one row", value)
		}
	}
	if r.Verdict == part.Pass && r.Reason != part.None || r.Verdict == part.Reject && r.Reason == part.None {
		w.t.Fatalf("verdict %s with reason %q", r.Verdict, r.Reason)
	}
}

func (w *world) checkAnswer(a Answer) {
	value := a.Result.Trigger.Sequence.Value
	if w.mute && a.Cycle == w.state.count && !w.durable[a.Cycle] && w.now.Before(w.state.cycle.end) && a.Result.Reason != part.LinkLost {
		w.t.Fatalf("a result is told before its row is durable, sequence %d", value)
	}
	if a.Result.Verdict == part.Reject {
		if a.Result.Reason == part.None {
			w.t.Fatalf("reject without a reason for sequence %d", value)
		}
		return
	}
	switch {
	case w.mode != Auto:
		w.t.Fatalf("pass in mode %s", w.mode)
	case !w.proven[a.Cycle]:
		w.t.Fatalf("pass without proof for sequence %d", value)
	case !w.durable[a.Cycle]:
		w.t.Fatalf("pass before its row is durable, sequence %d", value)
	case value != w.sequence:
		w.t.Fatalf("pass for sequence %d while the PLC is at %d", value, w.sequence)
	case !w.now.Before(a.Result.Trigger.SeenAt.Add(testCycle - testMargin)):
		w.t.Fatalf("pass decided after the deadline, sequence %d", value)
	case !w.link:
		w.t.Fatalf("pass without a link, sequence %d", value)
	}
}

// advance lets time go on; the timers that are due fire, or fire late.
func (w *world) advance(d time.Duration, late bool) {
	w.now = w.now.Add(d)
	if late {
		return
	}
	var due []StartTimer
	waiting := w.timers[:0]
	for _, timer := range w.timers {
		if timer.When.After(w.now) {
			waiting = append(waiting, timer)
		} else {
			due = append(due, timer)
		}
	}
	w.timers = waiting
	for _, timer := range due {
		w.step(Expired{w.at(), timer.Cycle, timer.Timer})
	}
}

// speak carries out the oldest thing that is to be written to the PLC.
func (w *world) speak(works bool) {
	if len(w.speech) == 0 {
		return
	}
	a := w.speech[0]
	w.speech = w.speech[1:]
	answer, ok := a.(Answer)
	if _, clear := a.(Clear); clear && w.link {
		w.up = false
	}
	if !ok {
		return
	}
	done := Answered{At: w.at(), Answer: answer, Begun: true, Took: time.Millisecond}
	value := answer.Result.Trigger.Sequence.Value
	switch {
	case !answer.Before.IsZero() && !w.now.Before(answer.Before):
		done.Begun = false
	case !w.link:
		done.Begun, done.Err = false, part.ErrNotSent
	default:
		if w.up {
			w.t.Fatalf("sequence %d is answered while the result before it is still valid", value)
		}
		if answer.Result.Verdict == part.Pass && !w.now.Before(answer.Result.Trigger.SeenAt.Add(testCycle-testMargin)) {
			w.t.Fatalf("the write of a pass begins after the deadline, sequence %d", value)
		}
		w.tried[value] = append(w.tried[value], answer.Result.Verdict)
		w.up, w.echo = true, value
		if works {
			w.told[value] = append(w.told[value], answer.Result.Verdict)
		} else {
			done.Err = errors.New("write timed out")
		}
	}
	w.step(done)
	if done.Begun && done.Err != nil {
		w.disconnect() // the link's contract: a write that failed ends the session
	}
}

// disconnect ends the session. What was decided for it and waits is never sent: the runner's session
// context sees to that.
func (w *world) disconnect() {
	if !w.link {
		return
	}
	w.link = false
	w.step(Disconnected{w.at(), errors.New("cable cut")})
	w.unsent()
}

// unsent lets the line know that what waits to be written was not.
func (w *world) unsent() {
	speech := w.speech
	w.speech = nil
	for _, a := range speech {
		if answer, ok := a.(Answer); ok {
			w.step(Answered{At: w.at(), Answer: answer, Err: part.ErrNotSent})
		}
	}
}

func (w *world) connect() {
	if w.link {
		return
	}
	valid := w.up
	w.link, w.up = true, false // the link drives the outputs safe before it says so
	if !w.began {
		w.began, w.firstSeen = true, w.sequence
		if w.present && (w.echo != w.sequence || valid) {
			w.firstSeen--
		}
	}
	w.step(Connected{w.at(), part.Snapshot{Trigger: w.trigger(), Present: w.present,
		Told: part.Told{Sequence: part.Sequence{Value: w.echo, Bits: 32}, Valid: valid}}})
	if _, answer := w.last(); w.present && w.shown == w.sequence && len(w.tried[w.sequence]) == 0 && answer.Result.Trigger.Sequence.Value != w.sequence {
		w.t.Fatalf("sequence %d waits, nobody began to tell the PLC its verdict, and nobody does now", w.sequence)
	}
}

// recover is the store's part of the self-read-back, in its turn among the rows: a result that the PLC
// was told and that has no row gets one.
func (w *world) recover() {
	for len(w.recovers) > 0 {
		for w.recovers[0].behind > 0 {
			w.store(true)
		}
		r := w.recovers[0]
		w.recovers = w.recovers[1:]
		if told := r.Told.Sequence; told.Value > w.count.Last.Value && w.count.Last.Known() || !w.count.Last.Known() && r.Told.Valid {
			w.count = part.Count{Last: told}
			w.book(part.Record{Trigger: part.Trigger{Sequence: r.Told.Sequence}, Reason: part.Unknown})
		}
		if r.Begins.Last.Known() {
			w.count = r.Begins
		}
		w.step(Recovered{At: w.at(), Session: r.Session})
	}
}

// crash ends the process at this instant: what was not durable and what was not written is gone. The
// PLC and the disk go on, and the next process knows what the disk knows.
func (w *world) crash() {
	for _, a := range w.inserts {
		for n := range max(a.Record.Missed, 1) {
			delete(w.rows, a.Record.Trigger.Sequence.Value-n)
		}
	}
	w.link, w.inserts, w.speech, w.inspections, w.timers, w.recovers = false, nil, nil, nil, nil, nil
	w.refused, w.shown = false, 0
	w.deliveries, w.inserted, w.durable, w.proven = map[int]int{}, map[int]part.Record{}, map[int]bool{}, map[int]bool{}
	w.state = NewState(testSettings(w.mode), w.count)
	w.state.settings.NoJournal = w.mute
	if !w.count.Last.Known() {
		w.began, w.rows = false, map[uint32]int{}
	}
}

func (w *world) inspected(kind byte) {
	if len(w.inspections) == 0 {
		return
	}
	a := w.inspections[0]
	w.inspections = nil
	frame := &part.Frame{ExposedAt: a.Trigger.SeenAt}
	finding := &part.Finding{Recipe: testRecipe, Score: 1, Threshold: 2, Reason: part.None}
	done := Inspected{At: w.at(), Cycle: a.Cycle, Frame: frame, Finding: finding}
	switch kind % 10 {
	case 0, 1, 2:
		w.proven[a.Cycle] = true
	case 3:
		finding.Score, finding.Reason = 3, part.Anomaly
	case 4:
		finding.Score = 2 // on the threshold
	case 5:
		frame.ExposedAt = a.Trigger.SeenAt.Add(-time.Nanosecond)
	case 6:
		finding.Score = []float64{math.NaN(), math.Inf(-1)}[kind/10%2]
	case 7:
		finding.Reason = part.TooDark
	case 8:
		done.Finding, done.Err = nil, part.Because(part.NoFrame, errors.New("no frame"))
		if kind/10%4 == 3 {
			done.Err = errors.New("the device is gone")
		}
	case 9:
		finding.Recipe.Version = 2
	}
	w.step(done)
}

func (w *world) store(works bool) {
	if len(w.inserts) == 0 || len(w.recovers) > 0 && w.recovers[0].behind == 0 {
		return
	}
	a := w.inserts[0]
	if !works {
		w.refused = true
		w.step(Stored{At: w.at(), Cycle: a.Cycle, Err: errors.New("disk full")})
		return // the runner tries the same row again
	}
	w.inserts = w.inserts[1:]
	w.refused = w.refused && len(w.inserts) > 0
	for i := range w.recovers {
		w.recovers[i].behind--
	}
	w.durable[a.Cycle], w.count = true, part.Count{Last: a.Record.Trigger.Sequence}
	w.step(Stored{At: w.at(), Cycle: a.Cycle, Took: time.Millisecond})
}

// play turns one pair of bytes into something that happens.
func (w *world) play(op, arg byte) {
	switch op % 22 {
	case 0, 1: // the next part, sometimes after parts that nobody saw
		if !w.announced {
			w.sequence++
			if arg > 230 {
				w.sequence += uint32(arg-230) % 5
			}
		}
		w.announced = false
		w.present = true
		if w.link {
			t := w.trigger()
			if arg%32 == 31 {
				t.Recipe = "other"
			}
			w.shown = w.sequence
			w.step(Triggered{w.at(), t})
		}
	case 2: // the same trigger seen twice
		if w.link && w.present {
			w.step(Triggered{w.at(), w.trigger()})
		}
	case 3, 4:
		if w.present {
			w.present = false
			if w.link {
				w.step(Withdrawn{w.at()})
			}
		}
	case 5, 6, 7:
		w.inspected(arg)
	case 8, 9:
		w.store(arg < 220)
		for range len(w.inserts) * int(arg%4) / 3 {
			w.store(true)
		}
	case 10, 11, 12:
		w.speak(arg < 230)
	case 13:
		if arg < 40 {
			if arg%2 == 1 {
				w.unsent() // who writes may hear of the loss first
			}
			w.disconnect()
		}
	case 14:
		w.connect()
	case 15, 16:
		if arg%4 == 0 {
			w.advance(time.Duration(arg)*time.Millisecond/2, true) // longer than a cycle, and the timer is late
		} else {
			w.advance(time.Duration(arg)*time.Millisecond/16, false)
		}
	case 17:
		w.step(Stale{w.at(), arg < 16})
	case 18:
		var err error
		if arg < 16 {
			err = errors.New("not well")
		}
		w.step(Health{w.at(), "camera", part.NoFrame, err})
		w.step(Health{At: w.at(), Source: "store"})
		w.step(Tick{w.at()})
	case 19:
		w.recover()
	case 21: // the PLC counts the next part before it shows it
		if !w.present && !w.announced {
			w.announced = true
			w.sequence++
		}
	case 20:
		if arg < 60 {
			w.crash()
		}
	}
}

// drain lets everything come to its end: the link returns, the disk works, time goes on, and a last part
// comes, which tells what went by before it.
func (w *world) drain() {
	w.connect()
	w.recover()
	w.settle()
	if w.present {
		w.play(3, 0)
	}
	w.settle()
	w.play(0, 0)
	w.settle()
}

func (w *world) settle() {
	for range 4 {
		w.inspected(0)
		for len(w.inserts) > 0 {
			w.recover()
			w.store(true)
		}
		for len(w.speech) > 0 {
			w.speak(true)
		}
		w.advance(testCycle, false)
	}
}

// judge holds the whole history against the law.
func (w *world) judge() {
	if !w.began {
		return
	}
	for value := w.firstSeen + 1; value <= w.sequence; value++ {
		if w.rows[value] != 1 {
			w.t.Fatalf("sequence %d has %d rows; the counter ran from %d to %d", value, w.rows[value], w.firstSeen, w.sequence)
		}
	}
	for cycle := range w.inserted {
		if w.deliveries[cycle] == 0 {
			w.t.Fatalf("nothing says what became of cycle %d", cycle)
		}
	}
	for value, verdicts := range w.tried {
		if len(verdicts) > 1 {
			w.t.Fatalf("sequence %d was answered %d times: %v", value, len(verdicts), verdicts)
		}
	}
}
