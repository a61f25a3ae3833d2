package line

import (
	"context"
	"errors"
	"sync"
	"time"

	"linectl/internal/part"
)

// speaker is the one goroutine that writes to the PLC: answers and clears in order, and between them
// the newest report.
type speaker struct {
	plc    PLC
	post   func(Event)
	said   *queue[utterance]
	status struct {
		sync.Mutex
		newest *utterance
	}
}

// utterance is something to write, and the session for which it was decided.
type utterance struct {
	action  Action
	session context.Context
}

func newSpeaker(plc PLC, post func(Event)) *speaker {
	return &speaker{plc: plc, post: post, said: newQueue[utterance]()}
}

func (s *speaker) say(a Action, session context.Context) { s.said.put(utterance{a, session}) }

// report replaces a report that has not been sent yet: only the newest is worth sending.
func (s *speaker) report(status part.Status, session context.Context) {
	s.status.Lock()
	waiting := s.status.newest != nil
	s.status.newest = &utterance{Report{status}, session}
	s.status.Unlock()
	if !waiting {
		s.said.put(utterance{})
	}
}

func (s *speaker) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.said.ready():
		}
		for _, u := range s.said.take() {
			if u.action == nil {
				s.status.Lock()
				u, s.status.newest = *s.status.newest, nil
				s.status.Unlock()
			}
			s.speak(ctx, u)
		}
	}
}

// finish waits until everything is said, or for the given time.
func (s *speaker) finish(grace time.Duration) {
	done := make(chan struct{})
	s.said.put(utterance{action: finished{done}})
	select {
	case <-done:
	case <-time.After(grace):
	}
}

// speak writes one thing. What was decided for a session that has ended is not written at all.
func (s *speaker) speak(stop context.Context, u utterance) {
	if f, ok := u.action.(finished); ok {
		close(f.done)
		return
	}
	ctx, cancel := context.WithCancel(u.session)
	defer cancel()
	defer context.AfterFunc(stop, cancel)()
	if ctx.Err() != nil {
		if a, ok := u.action.(Answer); ok {
			s.post(Answered{At: at(), Answer: a, Err: part.ErrNotSent})
		}
		return
	}
	switch a := u.action.(type) {
	case Answer:
		s.post(s.answer(ctx, a))
	case Clear:
		ctx, cancel := context.WithTimeout(ctx, plcPatience)
		defer cancel()
		_ = s.plc.Clear(ctx) // a failure ends the session: the link says so itself
	case Report:
		ctx, cancel := context.WithTimeout(ctx, plcPatience)
		defer cancel()
		_ = s.plc.Report(ctx, a.Status)
	}
}

func (s *speaker) answer(ctx context.Context, a Answer) Answered {
	begun := time.Now()
	if !a.Before.IsZero() && !begun.Before(a.Before) {
		return Answered{At: at(), Answer: a}
	}
	ctx, cancel := context.WithDeadline(ctx, a.Until)
	defer cancel()
	err := s.plc.Answer(ctx, a.Result)
	return Answered{
		At:     at(),
		Answer: a,
		Begun:  !errors.Is(err, part.ErrNotSent),
		Took:   time.Since(begun),
		Err:    err,
	}
}
