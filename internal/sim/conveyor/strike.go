package conveyor

import (
	"cmp"
	"errors"
	"slices"

	"linectl/internal/sim/plc"
)

// strike begins the faults that hit the n-th part, and gives what its own handshake does wrong.
func (l *Line) strike(n int) (slip plc.Slip) {
	for _, f := range l.cfg.Script {
		if !f.hits(n, l.random) {
			continue
		}
		k := kinds[f.Do]
		if k.slip == nil {
			l.begin(f)
			continue
		}
		s := k.slip(f)
		slip.Repeat = slip.Repeat || s.Repeat
		slip.Skip += s.Skip
		slip.Hurry, slip.Withdraw, slip.Hold = max(slip.Hurry, s.Hurry), max(slip.Withdraw, s.Withdraw), max(slip.Hold, s.Hold)
		l.report(Event{Kind: FaultOn, Text: f.String()})
	}
	return slip
}

// begin lets a fault run its course beside the parts. One without after is on when begin returns.
func (l *Line) begin(f Fault) {
	var undo func()
	if f.After == 0 {
		undo = l.turnOn(f)
	}
	l.running.Go(func() {
		if undo == nil {
			if l.sleep(f.After.Std()) != nil {
				return
			}
			undo = l.turnOn(f)
		}
		_ = l.sleep(f.For.Std()) // the end of the run ends the fault, too
		undo()
		l.mu.Lock()
		l.on = slices.Delete(l.on, slices.Index(l.on, f), slices.Index(l.on, f)+1)
		l.mu.Unlock()
		l.report(Event{Kind: FaultOver, Text: f.String()})
	})
}

// turnOn makes a fault happen, and gives what ends it.
func (l *Line) turnOn(f Fault) (undo func()) {
	l.report(Event{Kind: FaultOn, Text: f.String()})
	l.mu.Lock()
	l.on = append(l.on, f)
	l.mu.Unlock()
	p := l.PLC()
	switch f.Do {
	case "restart":
		l.stand()
		l.swap.Lock()
		memory := l.end(f.Cold)
		return func() {
			l.startAgain(memory)
			l.swap.Unlock()
			l.stood()
		}
	case "new-certificate":
		before := l.exchange(l.name + "-renewed")
		return func() { l.exchange(before) }
	case "stop":
		p.StopHeartbeat(true)
		l.stand()
		return func() { l.PLC().StopHeartbeat(false); l.stood() }
	case "hang":
		p.Hang(f.For.Std())
	case "slow":
		p.DelayReads(f.By.Std())
		p.DelayWrites(f.By.Std())
		return func() { l.PLC().DelayReads(0); l.PLC().DelayWrites(0) }
	case "revoke":
		p.Revoke(true)
		return func() { l.PLC().Revoke(false) }
	case "lost-tag":
		p.Lose(f.Tag, true)
		return func() { l.PLC().Lose(f.Tag, false) }
	case "wrong-type":
		was := p.Tag(f.Tag)
		var wrong any = "wrong"
		if _, text := was.(string); text {
			wrong = int64(0)
		}
		p.Set(f.Tag, wrong)
		return func() { l.PLC().Set(f.Tag, was) }
	case "clock-jump":
		p.SetClock(f.By.Std())
		return func() { l.PLC().SetClock(0) }
	case "mute-subscriptions":
		p.Mute(true)
		return func() { l.PLC().Mute(false) }
	}
	return func() {}
}

// exchange starts the PLC anew with another certificate, and gives the name of that before.
func (l *Line) exchange(name string) (before string) {
	l.swap.Lock()
	defer l.swap.Unlock()
	before, l.name = l.name, name
	l.startAgain(l.end(false))
	return before
}

// end ends the PLC and gives what it keeps over a restart, as the manual advises: its counter. The
// caller of it and of startAgain holds swap.
func (l *Line) end(cold bool) (memory map[string]any) {
	p := l.PLC()
	if !cold {
		memory = map[string]any{"trigger_seq": p.Tag("trigger_seq")}
	}
	l.fail(p.Close())
	l.down = true
	return memory
}

// startAgain starts the PLC at the same address.
func (l *Line) startAgain(memory map[string]any) {
	cfg := l.cfg.PLC
	cfg.Name, cfg.Tags = l.name, memory
	p, err := plc.Start(cfg)
	if err != nil {
		l.fail(err)
		return
	}
	l.down = false
	l.mu.Lock()
	defer l.mu.Unlock()
	l.plc = p
}

func (l *Line) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = cmp.Or(l.failed, err)
}

// stand stops the PLC's program as far as parts go; stood lets it run again.
func (l *Line) stand() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.standing++
}

func (l *Line) stood() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.standing--
	l.runs.Broadcast()
}

// program is the PLC as soon as its program runs.
func (l *Line) program() (*plc.PLC, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.standing > 0 {
		l.runs.Wait()
	}
	return l.plc, errors.Join(l.failed, l.ctx.Err())
}
