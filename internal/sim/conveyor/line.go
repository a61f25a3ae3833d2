// Package conveyor owns a standing simulated PLC: parts that come along a conveyor in the time of a
// belt or of a recorded line, faults by a script, and the log of what the PLC saw. The PLC itself, its
// server and its program, is that of package plc.
package conveyor

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"linectl/internal/sim/plc"
)

// Config says what a line does.
type Config struct {
	PLC    plc.Config
	Items  func() (Item, bool) // the parts; false at the end
	Count  int                 // end after so many; 0 for no end but that of Items
	Seed   uint64              // of the faults that come by chance
	Script []Fault
	Report func(Event) // called with every event, one at a time
}

// Line is a standing PLC with its conveyor.
type Line struct {
	cfg     Config
	random  *rand.Rand
	ctx     context.Context // of the run
	running sync.WaitGroup  // faults that are on
	sums    Sums

	reporting sync.Mutex
	swap      sync.Mutex // held while the PLC is exchanged for another
	name      string     // of the certificate that it shows
	down      bool       // it has ended and not started again
	mu        sync.Mutex
	plc       *plc.PLC
	on        []Fault
	standing  int        // how many faults stand the PLC's program
	runs      *sync.Cond // it runs again
	failed    error      // of a restart
}

// Start starts the PLC. It serves when Start returns; parts come with Run.
func Start(cfg Config) (*Line, error) {
	l := &Line{cfg: cfg, random: rand.New(rand.NewPCG(cfg.Seed, 2)), name: cmp.Or(cfg.PLC.Name, "plc")}
	l.runs = sync.NewCond(&l.mu)
	l.cfg.PLC.OnSession = func(client string) { l.report(Event{Kind: Session, Text: client}) }
	p, err := plc.Start(l.cfg.PLC)
	if err != nil {
		return nil, err
	}
	l.plc = p
	l.cfg.PLC.Address = p.Address() // a restart comes back where it was
	l.report(Event{Kind: Started, Text: p.Endpoint()})
	return l, nil
}

// PLC is the one that runs now: a restart brings another.
func (l *Line) PLC() *plc.PLC {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.plc
}

// Close ends the PLC. Run must have returned.
func (l *Line) Close() error {
	if l.down {
		return nil
	}
	return l.PLC().Close()
}

// Faults are those that are on, for people; "" where there is none.
func (l *Line) Faults() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return names(l.on)
}

func (l *Line) report(e Event) {
	if l.cfg.Report == nil {
		return
	}
	l.reporting.Lock()
	defer l.reporting.Unlock()
	e.At = time.Now()
	l.cfg.Report(e)
}

// Run brings the parts until there are no more, or ctx ends. A part comes its gap after the one before
// it came, or as soon as that one's handshake is over: this conveyor waits. Faults that are still on when
// the last part has gone come to their end first.
func (l *Line) Run(ctx context.Context) (Sums, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.ctx = ctx
	err := l.bring()
	if err != nil {
		cancel()
	}
	l.running.Wait()
	l.report(Event{Kind: Ended, Sums: &l.sums})
	return l.sums, errors.Join(err, l.failed)
}

func (l *Line) bring() error {
	due := time.Now()
	hurried := false
	for n := 1; l.cfg.Count == 0 || n <= l.cfg.Count; n++ {
		item, more := l.cfg.Items()
		if !more {
			return nil
		}
		if due = due.Add(item.Gap); due.Before(time.Now()) || hurried {
			due = time.Now()
		}
		if err := l.sleep(time.Until(due)); err != nil {
			return err
		}
		slip := l.strike(n)
		slip.Skip += item.Missed
		hurried = slip.Hurry > 0
		p, err := l.program()
		if err != nil {
			return err
		}
		outcome, err := p.InspectBadly(l.ctx, item.Part, slip)
		if err != nil {
			return err
		}
		l.seen(p, item, outcome)
	}
	return nil
}

func (l *Line) seen(p *plc.PLC, item Item, o plc.Outcome) {
	s := Seen{
		ID: item.Part.ID, Lot: item.Part.Lot, Recipe: item.Part.Recipe, UserData: item.Part.UserData,
		Seq: o.Seq, Bits: p.Width(), Told: o.Told, Pass: o.Pass,
		Latency: float64(o.Latency.Microseconds()) / 1000, Why: o.Why, Was: item.Was, Fault: l.Faults(),
	}
	if o.Told {
		s.Code, s.Score = &o.Code, &o.Score
	}
	l.sums.Add(s)
	l.report(Event{Kind: PartSeen, Part: &s})
}

func (l *Line) sleep(d time.Duration) error {
	if d <= 0 {
		return l.ctx.Err()
	}
	select {
	case <-l.ctx.Done():
		return l.ctx.Err()
	case <-time.After(d):
		return nil
	}
}
