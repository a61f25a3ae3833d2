package line

import (
	"fmt"
	"math"
	"time"

	"linectl/internal/part"
)

// notScored is the score of a part that has none.
var notScored = math.NaN()

// inspected takes the result of an inspection. One that belongs to a cycle which is decided is late:
// kept, flagged, never sent.
func (m *machine) inspected(e Inspected) {
	if e.Cycle == m.working {
		m.working = 0
	}
	if e.Cycle != m.cycle.number || m.cycle.phase != inspecting {
		if e.Finding != nil || e.Frame != nil {
			m.do(KeepLate{e.Cycle, e.Finding, e.Frame})
		}
		if e.Err != nil {
			m.do(Note{"late-failure", e.Err.Error()})
		}
		m.report()
		return
	}
	m.cycle.stages = e.Stages
	reason, detail := m.judge(e)
	verdict := part.Reject
	if reason == part.None {
		verdict = part.Pass
	}
	if e.Finding != nil {
		m.cycle.score = e.Finding.Score
	}
	m.decide(verdict, reason, detail, &e)
}

// mostFailures is how many inspections in a row may fail by themselves: more are no accident of a part.
const mostFailures = 3

// countFailures notices that inspections fail whatever the part, as after the loss of a device. The station is
// not ready then, and the line ends: the process that is started next is ready only if the recipe proves itself.
func (m *machine) countFailures(e Inspected) {
	switch {
	case e.Finding != nil:
		m.failed = 0
		return
	case part.ReasonOf(e.Err, part.InspectionFault) != part.InspectionFault:
		return // of the camera or the picture
	}
	if m.failed++; m.failed != mostFailures {
		return
	}
	m.faults, _ = m.withFault("inspection", part.InspectionFault)
	m.do(Note{"fault", fmt.Sprintf("inspection: failed %d times in a row: %v", m.failed, e.Err)}, GiveUp{e.Err})
}

// judge is the law for one inspected part: None, and so a pass, only if every condition holds.
func (m *machine) judge(e Inspected) (part.Reason, string) {
	f := e.Finding
	switch {
	case !m.now.Before(m.cycle.deadline):
		m.deadlineMissed++
		return part.Deadline, m.lateIn(m.stage)
	case e.Err != nil:
		return part.ReasonOf(e.Err, part.InspectionFault), e.Err.Error()
	case e.Frame == nil || f == nil:
		return part.InspectionFault, "the inspection ended without a result"
	case e.Frame.ExposedAt.Before(m.cycle.trigger.SeenAt):
		return part.StaleFrame, fmt.Sprintf("exposed %s before the trigger", m.cycle.trigger.SeenAt.Sub(e.Frame.ExposedAt).Round(time.Microsecond))
	case f.Reason != part.None && f.Reason != part.Anomaly:
		return f.Reason, f.Detail
	case math.IsNaN(f.Score) || math.IsInf(f.Score, 0) || math.IsNaN(f.Threshold):
		return part.ScoreInvalid, fmt.Sprintf("score %v, threshold %v", f.Score, f.Threshold)
	case f.Recipe != m.settings.Recipe:
		return part.RecipeMismatch, fmt.Sprintf("scored with %s version %d", f.Recipe.Name, f.Recipe.Version)
	case f.Score >= f.Threshold || f.Reason == part.Anomaly:
		return part.Anomaly, f.Detail
	}
	return part.None, ""
}

// decide closes the question of the open cycle: its row is written and the PLC is told. A pass waits
// until its row is durable, so that after a crash at any instant every pass that the PLC saw has its
// row; a reject needs no row to be safe and waits for nothing, or, where the PLC keeps no journal from which
// its row could be recovered, until the cycle ends. In shadow the PLC learns nothing of what was found, only
// why nothing could be.
func (m *machine) decide(verdict part.Verdict, reason part.Reason, detail string, e *Inspected) {
	insert := Insert{Cycle: m.cycle.number, Record: m.record(m.cycle.trigger, verdict, reason, detail)}
	if e != nil {
		insert.Record.Finding, insert.Record.Digest, insert.Frame = e.Finding, e.Digest, e.Frame
	}
	m.insert(insert)
	if m.settings.Mode == Shadow && reason.Inspected() {
		verdict, reason, m.cycle.score = part.Reject, part.Shadow, notScored
	}
	if verdict == part.Reject {
		m.reject(reason, "")
		return
	}
	m.cycle.phase, m.cycle.verdict = storing, part.Pass
}

// reject tells the PLC so, or waits for the row first.
func (m *machine) reject(reason part.Reason, detail string) {
	if !m.settings.NoJournal {
		m.tell(part.Reject, reason, detail)
		return
	}
	m.cycle.phase, m.cycle.verdict, m.cycle.reason, m.cycle.detail = storing, part.Reject, reason, detail
	m.do(StartTimer{m.cycle.number, EndTimer, m.cycle.end})
}

// patience is how long a reject may take to arrive. It is safe however late: a PLC that has gone on
// knows by the counter that it is not for the part in view.
const patience = time.Second

// tell sends a result to the PLC. A pass must not begin after the deadline nor arrive after the cycle's
// end; a reject may always be sent.
func (m *machine) tell(verdict part.Verdict, reason part.Reason, detail string) {
	answer := Answer{
		Cycle:  m.cycle.number,
		Result: part.Result{Trigger: m.cycle.trigger, Verdict: verdict, Reason: reason, Score: m.cycle.score},
		Stages: m.cycle.stages,
		Detail: detail,
		Until:  m.now.Add(patience),
	}
	if verdict == part.Pass {
		answer.Before, answer.Until = m.cycle.deadline, m.cycle.end
	}
	m.cycle.phase, m.raised = answering, true
	m.do(answer)
}

// insert makes a row. It counts as one that waits until it is durable.
func (m *machine) insert(i Insert) {
	m.unstored++
	m.do(i)
}

// stored books whether a row is durable. The result that waits for it comes before the news of a fault: it has a deadline.
func (m *machine) stored(e Stored) {
	if e.Cycle == m.cycle.number && m.cycle.phase == storing {
		m.release(e)
	}
	if e.Err != nil {
		m.setFault(theStore, part.NotStored, e.Err)
		return
	}
	m.unstored--
}

// release lets a result go to the PLC when its row is durable.
func (m *machine) release(e Stored) {
	if e.Err != nil && m.cycle.verdict == part.Reject {
		return // a reject waits on: the row is tried again
	}
	m.cycle.stages = append(m.cycle.stages[:len(m.cycle.stages):len(m.cycle.stages)], part.Stage{Name: "store", Took: e.Took})
	switch {
	case m.cycle.verdict == part.Reject:
		m.tell(part.Reject, m.cycle.reason, m.cycle.detail)
	case e.Err != nil:
		m.reject(part.NotStored, e.Err.Error())
	case !m.now.Before(m.cycle.deadline):
		m.deadlineMissed++
		m.tell(part.Reject, part.Deadline, m.lateIn("store"))
	default:
		m.tell(part.Pass, part.None, "")
	}
}

// answered books what became of a result. It may belong to a cycle before the present one.
func (m *machine) answered(e Answered) {
	current := e.Answer.Cycle == m.cycle.number && m.cycle.phase == answering
	if !e.Begun && e.Err == nil {
		// A pass that waited behind another write until its deadline was over. Nothing was sent.
		if current {
			m.deadlineMissed++
			m.tell(part.Reject, part.Deadline, m.lateIn("write"))
			return
		}
		e.Err = fmt.Errorf("not sent: the PLC had gone on")
	}
	m.deliver(e)
	if !e.Begun && e.Answer.Cycle == m.cycle.number && !m.cycle.withdrawn && (current || !m.link) {
		m.owed = true // that the link is lost is heard before this or after it
	}
	if e.Begun {
		// What is begun later than a PLC needs would only be cut off. One hiccup says nothing of a PLC.
		m.margin, m.took = max(m.settings.WriteMargin, min(m.took, e.Took)), e.Took
	}
	if !current {
		return
	}
	switch {
	case e.Err != nil:
		m.cycle.phase = idle
		m.raised = m.raised && e.Begun // what was not sent needs no clearing; what failed ends the session
	case m.cycle.withdrawn:
		m.clear()
		m.cycle.phase = idle
	default:
		m.cycle.phase = answered
		m.do(StartTimer{m.cycle.number, AckTimer, m.now.Add(m.settings.AckTimeout)})
	}
	m.report()
}

func (m *machine) deliver(e Answered) {
	result := e.Answer.Result
	d := part.Delivery{
		Verdict: result.Verdict,
		Reason:  result.Reason,
		Outcome: part.Written,
		Stages:  append(e.Answer.Stages[:len(e.Answer.Stages):len(e.Answer.Stages)], part.Stage{Name: "write", Took: e.Took}),
		Total:   m.now.Sub(result.Trigger.SeenAt),
		Error:   e.Answer.Detail,
	}
	switch {
	case e.Err != nil && !e.Begun:
		d.Outcome, d.Error = part.Skipped, e.Err.Error()
	case e.Err != nil:
		d.Outcome, d.Error = part.Failed, e.Err.Error()
	}
	m.do(Deliver{e.Answer.Cycle, d})
}

// abandon closes an undecided or unsent cycle as a reject that nobody is told of, and tells whether
// there was one.
func (m *machine) abandon(reason part.Reason, detail string) bool {
	switch m.cycle.phase {
	case inspecting:
		m.insert(Insert{Cycle: m.cycle.number, Record: m.record(m.cycle.trigger, part.Reject, reason, detail)})
	case storing: // its row says what was found; the delivery says what came of it
	default:
		return false
	}
	m.do(Deliver{m.cycle.number, part.Delivery{
		Verdict: part.Reject,
		Reason:  reason,
		Outcome: part.Skipped,
		Stages:  m.cycle.stages,
		Total:   m.now.Sub(m.cycle.trigger.SeenAt),
		Error:   detail,
	}})
	return true
}

func (m *machine) record(t part.Trigger, verdict part.Verdict, reason part.Reason, detail string) part.Record {
	return part.Record{
		Station:  m.settings.Station,
		Trigger:  t,
		Mode:     string(m.settings.Mode),
		Cycle:    m.settings.Cycle,
		Verdict:  verdict,
		Reason:   reason,
		Detail:   detail,
		Software: m.settings.Software,
	}
}
