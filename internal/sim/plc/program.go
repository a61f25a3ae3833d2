package plc

import (
	"context"
	"fmt"
	"time"
)

// Part is a part as the PLC presents it.
type Part struct {
	ID       string
	Lot      string
	Recipe   string
	UserData string
}

// Outcome is what the PLC made of one part.
type Outcome struct {
	Seq     uint32
	Pass    bool          // only on positive proof
	Told    bool          // a valid result for this very part came in time
	Code    int16         // result_code as told
	Score   float32       // score as told
	Latency time.Duration // from part_present to the decision
	Why     string        // for people, where it did not pass
}

// Slip is what the PLC's program does wrong with one part. The zero value is nothing.
type Slip struct {
	Repeat   bool          // the counter stays at the value of the part before
	Skip     uint32        // the counter leaves out so many values
	Hurry    time.Duration // goes on to the next part after so long, whether there is a result or not; part_present stays TRUE
	Withdraw time.Duration // takes the part away after so long
	Hold     time.Duration // acknowledges the result so much too late
}

// program is the state of the PLC's own program. It runs whenever a tag changes, as a PLC's does with
// each scan.
type program struct {
	presented time.Time
	decision  chan Outcome // takes the one decision on the part in view; nil while there is none
	hold      bool         // the part in view stays after its decision
	wasValid  bool
	wasBusy   bool
	beat      any
	beatAt    time.Time // when linectl's heartbeat changed
}

// watchdog is how long linectl's heartbeat may stand.
const watchdog = time.Second

// scan is the PLC's program. The rule for a pass is the one that the manual prints for real PLCs. The
// caller holds the lock.
func (p *PLC) scan() {
	if p.closed {
		return
	}
	now := time.Now()
	g := &p.program
	if beat := p.tags["vision_heartbeat"]; beat != g.beat {
		g.beat, g.beatAt = beat, now
	}
	if busy := p.is("busy"); busy != g.wasBusy {
		g.wasBusy = busy
		if busy && p.cfg.OnBusy != nil {
			seq := p.number("trigger_seq")
			p.work.Go(func() { p.cfg.OnBusy(seq) })
		}
	}
	valid := p.is("result_valid")
	mine := p.is("part_present") && valid && (p.lacks("result_seq") || p.tags["result_seq"] == p.tags["trigger_seq"])
	pass := mine && (p.lacks("accept") || p.is("accept")) && !p.is("reject") && p.alive(now) && !p.is("fault")
	if valid && !g.wasValid {
		p.log.add(Seen{
			Seq:    p.number("result_seq"),
			PartID: p.string("result_part_id"),
			Pass:   pass,
			Accept: p.is("accept"),
			Reject: p.is("reject"),
			Code:   p.code(),
			Score:  p.score(),
			At:     now,
		})
	}
	g.wasValid = valid
	if mine {
		p.decide(Outcome{Seq: p.number("trigger_seq"), Pass: pass, Told: true, Code: p.code(), Score: p.score(), Why: p.why(pass, now)})
	}
}

// decide takes the decision on the part in view and acknowledges by dropping part_present.
func (p *PLC) decide(o Outcome) {
	g := &p.program
	if !g.hold {
		p.tags["part_present"] = false
	}
	if g.decision != nil {
		o.Latency = time.Since(g.presented)
		g.decision <- o
		g.decision = nil
	}
}

func (p *PLC) why(pass bool, now time.Time) string {
	switch {
	case pass:
		return ""
	case !p.alive(now):
		return "linectl's heartbeat stands"
	case p.is("fault"):
		return fmt.Sprintf("linectl reports fault %v", p.tags["fault_code"])
	}
	return fmt.Sprintf("told to reject, code %d", p.code())
}

func (p *PLC) alive(now time.Time) bool {
	return p.cfg.IgnoreWatchdog || p.lacks("vision_heartbeat") || now.Sub(p.program.beatAt) < watchdog
}

// Present shows a part to linectl: what names it first, then the counter, then part_present. It returns
// the part's counter value. A part that was still in view is forgotten.
func (p *PLC) Present(part Part) uint32 {
	p.present(part, Slip{})
	return p.sequence()
}

func (p *PLC) present(part Part, slip Slip) <-chan Outcome {
	// One tag at a time, so that a client that reads meanwhile can see any of it half done.
	p.change("part_id", part.ID)
	p.change("lot", part.Lot)
	p.change("recipe_id", part.Recipe)
	p.change("user_data", part.UserData)
	if !slip.Repeat {
		p.Skip(slip.Skip + 1)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	decision := make(chan Outcome, 1)
	p.program.decision, p.program.presented, p.program.hold = decision, time.Now(), slip.Hold > 0
	p.tags["part_present"] = true
	p.scan()
	return decision
}

// Skip lets n parts go by that are never presented: the counter runs on.
func (p *PLC) Skip(n uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch seq := p.tags["trigger_seq"].(type) {
	case uint16:
		p.tags["trigger_seq"] = seq + uint16(n)
	case uint32:
		p.tags["trigger_seq"] = seq + n
	}
}

// Withdraw takes the part away: the PLC gives up on it.
func (p *PLC) Withdraw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.program.decision = nil
	p.tags["part_present"] = false
}

// Inspect runs one handshake: it waits until the last result is cleared, presents the part, waits for
// the result up to the PLC's own limit, decides, and acknowledges. A part is passed only on positive
// proof.
func (p *PLC) Inspect(ctx context.Context, part Part) (Outcome, error) {
	return p.InspectBadly(ctx, part, Slip{})
}

// InspectBadly is Inspect by a program that makes mistakes.
func (p *PLC) InspectBadly(ctx context.Context, part Part, slip Slip) (Outcome, error) {
	if in, _ := p.Tag("part_present").(bool); !in { // one that is in view was hurried past: there is no waiting then
		if err := p.cleared(ctx); err != nil {
			return Outcome{}, err
		}
	}
	decision := p.present(part, slip)
	wait, why := p.cfg.ResultLimit, "no result within "+p.cfg.ResultLimit.String()
	switch {
	case slip.Hurry > 0:
		wait, why = slip.Hurry, "the PLC went on to the next part after "+slip.Hurry.String()
	case slip.Withdraw > 0:
		wait, why = slip.Withdraw, "the PLC took the part away after "+slip.Withdraw.String()
	}
	limit := time.NewTimer(wait)
	defer limit.Stop()
	select {
	case o := <-decision:
		return o, p.holdOn(ctx, slip.Hold)
	case <-ctx.Done():
		p.Withdraw()
		return Outcome{}, ctx.Err()
	case <-limit.C:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case o := <-decision:
		p.tags["part_present"] = false
		return o, nil
	default:
	}
	o := Outcome{Seq: p.number("trigger_seq"), Latency: time.Since(p.program.presented), Why: why}
	p.program.decision = nil
	p.tags["part_present"] = slip.Hurry > 0
	return o, nil
}

// holdOn leaves a part in view whose decision is made, and then acknowledges it.
func (p *PLC) holdOn(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	defer p.Withdraw()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.done:
		return nil
	case <-time.After(d):
		return nil
	}
}

// cleared waits until result_valid is FALSE, but no longer than for a result: a PLC that waited for ever
// would stop the line.
func (p *PLC) cleared(ctx context.Context) error {
	end := time.Now().Add(p.cfg.ResultLimit)
	for {
		if valid, _ := p.Tag("result_valid").(bool); !valid || time.Now().After(end) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

func (p *PLC) change(key string, value any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, there := p.tags[key]; there {
		p.tags[key] = value
	}
}

func (p *PLC) sequence() uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.number("trigger_seq")
}

// The caller of the following holds the lock.

func (p *PLC) is(key string) bool {
	b, _ := p.tags[key].(bool)
	return b
}

func (p *PLC) lacks(key string) bool {
	_, there := p.tags[key]
	return !there
}

func (p *PLC) string(key string) string {
	s, _ := p.tags[key].(string)
	return s
}

func (p *PLC) number(key string) uint32 {
	switch n := p.tags[key].(type) {
	case uint16:
		return uint32(n)
	case uint32:
		return n
	}
	return 0
}

func (p *PLC) code() int16 {
	c, _ := p.tags["result_code"].(int16)
	return c
}

func (p *PLC) score() float32 {
	s, _ := p.tags["score"].(float32)
	return s
}
