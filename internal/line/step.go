package line

import (
	"fmt"
	"time"

	"linectl/internal/part"
)

// Step takes the line from one state to the next and says what is to be done. It is the whole law of
// the line, and pure: the same state and event always give the same answer.
func Step(s State, e Event) (State, []Action) {
	m := &machine{State: s, now: e.at()}
	switch e := e.(type) {
	case Connected:
		m.connected(e)
	case Disconnected:
		m.disconnected(e)
	case Recovered:
		m.selfRead(e)
	case Triggered:
		m.triggered(e.Trigger)
	case Withdrawn:
		m.withdraw()
	case Stale:
		m.stale, m.unproven = e.Stale, false
		m.report()
	case Began:
		if e.Cycle == m.working {
			m.stage = e.Stage
		}
	case Inspected:
		m.countFailures(e)
		m.inspected(e)
	case Stored:
		m.stored(e)
	case Answered:
		m.answered(e)
	case Expired:
		m.expired(e)
	case Health:
		m.health(e)
	case Tick:
		m.tick()
	case Stop:
		m.stop()
	}
	return m.State, m.actions
}

// machine is one step under way.
type machine struct {
	State
	now     time.Time
	actions []Action
}

func (m *machine) do(actions ...Action) { m.actions = append(m.actions, actions...) }

func (m *machine) report() {
	if m.link {
		m.beat++
		m.do(Report{m.Status()})
	}
}

// connected begins a session. Rows are made in the order of the counter, so that the newest row always
// tells how far the record has come: what went by unseen before the result that the PLC was told last,
// then that result, which the store recovers where it lacks it, then what went by since. A part that
// is already there is rejected, since nobody knows since when.
func (m *machine) connected(e Connected) {
	m.disconnected(Disconnected{At: e.At}) // a session that ends unheard ends here
	m.link, m.recovered, m.stale, m.raised = true, false, false, false
	m.session++
	m.unproven = e.Snapshot.Unproven
	t, told := e.Snapshot.Trigger, e.Snapshot.Told.Sequence
	switch distance := m.distance(told); {
	case !m.follows(told) || !e.Snapshot.Told.Written() || distance > m.distance(t.Sequence): // no echo is ahead of its trigger
	case distance > 0:
		m.unseen(told.Previous(), distance-1)
		m.last, m.baseline = told, false
	case e.Snapshot.Told.Valid:
		m.baseline = false // where counting began is answered too
	}
	m.noteRestart(t.Sequence)
	begins := m.begins(e.Snapshot)
	m.do(Recover{m.session, e.Snapshot.Told, begins})
	if begins.Last.Known() {
		m.last, m.baseline = begins.Last, begins.Fresh
	}
	distance := m.distance(t.Sequence)
	switch {
	case e.Snapshot.Present && distance == 0 && !m.baseline:
		if m.owed && m.cycle.trigger.Sequence == t.Sequence { // the PLC's echo may tell of a part that this process never saw
			m.tell(part.Reject, part.LinkLost, "the link returned while the part waited")
		}
	case e.Snapshot.Present:
		m.open(t, distance)
		m.decide(part.Reject, part.PresentAtStart, "", nil)
	case distance > 0 && m.follows(t.Sequence):
		// The part of the present counter value may have gone by, or may be about to come: the PLC counts
		// before it raises part_present. It is missed only when the next one comes.
		m.unseen(t.Sequence.Previous(), distance-1)
		m.last = t.Sequence.Previous()
	}
	m.owed = false
	m.report()
}

// begins is where counting begins, if it begins with this session: the record is empty, or the PLC has
// restarted its counter.
func (m *machine) begins(s part.Snapshot) part.Count {
	t := s.Trigger.Sequence
	switch {
	case !t.Known() || m.follows(t):
		return part.Count{}
	case !m.last.Known() && s.Told.Sequence == t && s.Told.Written(): // it has had its answer
		return part.Count{Last: t}
	case s.Present:
		return part.Count{Last: t.Previous()}
	}
	return part.Count{Last: t, Fresh: true}
}

// disconnected ends a session. An undecided part is a reject that nobody can be told of; silence is
// reject at the PLC too. Should the link return while the part still waits, it is told then. So is one whose
// result was decided and not sent: the answer's own end says so, before this event or after it.
func (m *machine) disconnected(e Disconnected) {
	if !m.link {
		return
	}
	detail := "the session ended"
	if e.Err != nil {
		detail = e.Err.Error()
	}
	m.do(Note{"link-lost", detail})
	m.owed = m.abandon(part.LinkLost, detail) || m.owed
	m.link, m.recovered, m.raised = false, false, false
	m.cycle.phase = idle
}

func (m *machine) selfRead(e Recovered) {
	if e.Session != m.session || !m.link {
		return
	}
	m.recovered = e.Err == nil
	m.report()
}

// triggered begins a cycle. A trigger that cannot be inspected gets its reject at once.
func (m *machine) triggered(t part.Trigger) {
	distance := m.distance(t.Sequence)
	if t.Sequence.Known() && distance == 0 && !m.baseline {
		return // it has its verdict, or is about to get it
	}
	busy := m.abandon(part.Overrun, fmt.Sprintf("the PLC went on to sequence %s", t.Sequence)) || m.cycle.phase == answering
	if m.raised { // a PLC that goes on has taken the result
		m.clear()
	}
	m.noteRestart(t.Sequence)
	m.open(t, distance)
	reason := m.refusal(t)
	if busy && reason == part.None {
		reason = part.Busy
	}
	switch reason {
	case part.None:
	case part.Busy:
		m.overrun++
		m.decide(part.Reject, part.Busy, "", nil)
		return
	case part.RecipeMismatch:
		m.decide(part.Reject, reason, fmt.Sprintf("the PLC asks for recipe %q, %q is active", t.Recipe, m.settings.Recipe.Name), nil)
		return
	default:
		m.decide(part.Reject, reason, "", nil)
		return
	}
	m.cycle.phase = inspecting
	m.working, m.since, m.stage = m.count, m.now, "grab"
	m.do(Inspect{m.count, t, m.cycle.deadline}, StartTimer{m.count, DeadlineTimer, m.cycle.deadline})
	m.report()
}

// open makes t the newest part, after accounting for those between it and the one before.
func (m *machine) open(t part.Trigger, distance uint32) {
	if distance > 1 {
		m.unseen(t.Sequence.Previous(), distance-1)
	}
	m.last = t.Sequence
	m.owed, m.baseline = false, false
	m.count++
	m.cycle = cycle{
		number:   m.count,
		trigger:  t,
		deadline: t.SeenAt.Add(m.settings.Cycle - m.margin),
		end:      t.SeenAt.Add(m.settings.Cycle),
		score:    notScored,
	}
}

// noteRestart leaves in the record that the PLC counts anew: what went by before that cannot be counted.
func (m *machine) noteRestart(to part.Sequence) {
	if to.Known() && m.last.Known() && !m.follows(to) {
		m.do(Note{"counter-restarted", fmt.Sprintf("trigger_seq went from %s to %s; parts that went by between are not counted", m.last, to)})
	}
}

// follows tells whether a counter value is one of the same count as the last, and not before it. A
// counter that is new, went back, leapt or changed its width has been restarted.
func (m *machine) follows(to part.Sequence) bool {
	if !to.Known() || to.Bits != m.last.Bits {
		return false
	}
	_, forward := to.Since(m.last)
	return forward
}

// distance is how many parts the PLC's counter has gone on since the last one that was accounted for. A
// restarted counter is a new beginning (1): nothing can be said of what lies between.
func (m *machine) distance(to part.Sequence) uint32 {
	if !m.follows(to) {
		return 1
	}
	distance, _ := to.Since(m.last)
	return distance
}

// unseen writes the row of a gap: parts that went by without a verdict, the last of them with the
// given counter value.
func (m *machine) unseen(last part.Sequence, parts uint32) {
	if parts == 0 || !m.follows(last) {
		return
	}
	m.missed += parts
	m.count++
	record := m.record(part.Trigger{Sequence: last, SeenAt: m.now}, part.Reject, part.MissedTrigger,
		fmt.Sprintf("%d parts up to sequence %s went by unseen", parts, last))
	record.Missed = parts
	m.insert(Insert{Cycle: m.count, Record: record})
	m.do(Deliver{m.count, part.Delivery{Verdict: part.Reject, Reason: part.MissedTrigger, Outcome: part.Skipped}})
}

// withdraw handles the fall of part_present: the acknowledgement of a result, or a PLC that gave up.
func (m *machine) withdraw() {
	m.owed = false
	if m.abandon(part.Overrun, "the PLC withdrew the part before its verdict") {
		m.cycle.phase = idle
		m.report()
		return
	}
	switch m.cycle.phase {
	case answering:
		m.cycle.withdrawn = true
	case answered:
		m.clear()
		m.cycle.phase = idle
		m.report()
	}
}

func (m *machine) clear() {
	m.raised = false
	m.do(Clear{})
}

// expired handles a timer. A timer of a cycle that is over means nothing.
func (m *machine) expired(e Expired) {
	if e.Cycle != m.cycle.number {
		return
	}
	switch {
	case e.Timer == DeadlineTimer && m.cycle.phase == inspecting:
		m.deadlineMissed++
		m.decide(part.Reject, part.Deadline, m.lateIn(m.stage), nil)
	case e.Timer == EndTimer && m.cycle.phase == storing:
		m.tell(part.Reject, m.cycle.reason, m.cycle.detail)
	case e.Timer == DeadlineTimer && m.cycle.phase == storing && m.cycle.verdict == part.Pass:
		m.deadlineMissed++
		m.reject(part.Deadline, m.lateIn("store"))
	case e.Timer == AckTimer && m.cycle.phase == answered:
		m.do(Note{"ack-timeout", fmt.Sprintf("the PLC did not take the result of sequence %s within %s", m.cycle.trigger.Sequence, m.settings.AckTimeout)})
		m.clear()
		m.cycle.phase = idle
		m.report()
	}
}

func (m *machine) lateIn(stage string) string {
	return fmt.Sprintf("stage %s: %.1f ms after the trigger; the cycle is %s", stage,
		float64(m.now.Sub(m.cycle.trigger.SeenAt).Microseconds())/1000, m.settings.Cycle)
}

// theStore is the source of the faults of the disk: those that it tells of, and rows that it refuses.
const theStore = "store"

// health hears whether something works. That of the disk is over only when no row waits any more: the row of the
// next part would wait behind them, and the part would be too late.
func (m *machine) health(e Health) {
	if e.Source == theStore && e.Err == nil && m.unstored > 0 {
		return // it is asked again within a second
	}
	m.setFault(e.Source, e.Reason, e.Err)
}

// setFault sets the fault of one source, or ends it where err is nil. What changes is told to people and to the PLC.
func (m *machine) setFault(source string, reason part.Reason, err error) {
	note := Note{"fault", fmt.Sprintf("%s: %v", source, err)}
	if err == nil {
		reason, note = part.None, Note{"fault-over", source}
	}
	faults, changed := m.withFault(source, reason)
	if !changed {
		return
	}
	m.faults = faults
	m.do(note)
	m.report()
}

// tick is the line's own heartbeat. An inspection that hangs for ever cannot be cancelled: the
// supervisor is no longer told that the line is alive and restarts the process.
func (m *machine) tick() {
	m.report()
	if m.working == 0 || m.now.Sub(m.since) < m.settings.HangLimit {
		m.do(Alive{})
	}
}

func (m *machine) stop() {
	m.stopping = true
	switch m.cycle.phase {
	case inspecting:
		m.decide(part.Reject, part.Interrupted, "", nil)
	case storing:
		if m.cycle.verdict == part.Reject {
			m.tell(part.Reject, m.cycle.reason, m.cycle.detail)
			break
		}
		m.tell(part.Reject, part.Interrupted, "linectl is stopping")
	}
	m.report()
}
