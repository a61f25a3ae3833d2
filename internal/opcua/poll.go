package opcua

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/gopcua/opcua/ua"

	"linectl/internal/part"
)

// first is what the PLC's tags were before anything was written.
type first struct {
	values values
	at     time.Time
}

func (f first) sample() sample { return f.values.sample(f.at) }

func (f first) trigger() part.Trigger { return f.values.trigger(f.values.sequence(triggerSeq), f.at) }

func (v values) trigger(sequence part.Sequence, at time.Time) part.Trigger {
	return part.Trigger{Sequence: sequence, PartID: v.text(partID), Lot: v.text(lot), Recipe: v.text(recipeID), UserData: v.text(userData), SeenAt: at}
}

// snapshot is the PLC's state and its record of the last result.
func (f first) snapshot() part.Snapshot {
	v := f.values
	told := part.Told{
		Sequence: v.sequence(resultSeq),
		PartID:   v.text(resultPartID),
		Reason:   v.reason(),
		Score:    v.number(score),
		Valid:    v.is(resultValid),
	}
	if rejected, known := v[reject].(bool); known && !rejected && (v[accept] == nil || v.is(accept)) {
		told.Verdict = part.Pass
	}
	return part.Snapshot{Trigger: f.trigger(), Present: v.is(partPresent), Told: told, Unproven: v[plcHeartbeat] != nil}
}

// begin reads the snapshot and then makes the outputs safe, in that order: the tags are the record of
// what the PLC was told last.
func (s *session) begin(ctx context.Context) (first, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.write)
	defer cancel()
	var wanted []signal
	for _, sig := range []signal{partPresent, triggerSeq, partID, recipeID, lot, userData, resultAck, plcHeartbeat,
		accept, reject, resultSeq, resultPartID, resultCode, score, resultValid} {
		if s.has(sig) {
			wanted = append(wanted, sig)
		}
	}
	v, err := s.read(ctx, wanted)
	if err != nil {
		return first{}, fmt.Errorf("read the PLC's state: %w", err)
	}
	s.began = time.Now()
	if err := s.safe(ctx, stateInitialized); err != nil {
		return first{}, in(WriteFailed, fmt.Errorf("make the outputs safe: %w", err))
	}
	return first{v, s.began}, nil
}

// poll reads the trigger until the session ends or ctx does, and says what happened. One request is
// under way at a time.
func (s *session) poll(ctx context.Context, from first, listener Listener) error {
	w := newWatch(from.sample(), s.has(resultAck), s.stale)
	ticker := time.NewTicker(s.every)
	defer ticker.Stop()
	for silent := 0; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ended:
			return s.cause
		case <-ticker.C:
		}
		v, err := s.readSoon(ctx, s.polled)
		switch {
		case err == nil:
			silent = 0
		case ctx.Err() != nil:
			return ctx.Err()
		case !timedOut(err):
			return fmt.Errorf("read the trigger: %w", err)
		default:
			if silent++; silent >= s.limits.patience {
				return in(Silent, fmt.Errorf("the PLC did not answer %d times, for %s each", silent, s.limits.read))
			}
			continue
		}
		if err := s.tell(ctx, &w, v.sample(time.Now()), listener); err != nil {
			return err
		}
	}
}

// tell reports what one sample brought.
func (s *session) tell(ctx context.Context, w *watch, now sample, listener Listener) error {
	c := w.see(now)
	if c.stale {
		listener.Stale(w.stale)
	}
	if c.withdrawn {
		listener.Withdrawn()
	}
	if !c.triggered {
		return nil
	}
	v, err := s.latch(ctx)
	switch {
	case timedOut(err):
		if s.unnamed++; s.unnamed >= s.limits.patience { // a part that cannot be named gets no verdict
			return in(Silent, fmt.Errorf("the PLC did not tell the part's names %d times, for %s each", s.unnamed, s.limits.read))
		}
		return nil // the next sample sees the same part again
	case err != nil:
		return fmt.Errorf("read the part's names: %w", err)
	}
	s.unnamed = 0
	switch {
	case v.sequence(triggerSeq) != now.sequence:
		return nil // the PLC went on: this part went by unseen, and the next poll sees the one after it
	case len(s.latched) > 0 && !v.is(partPresent) && !w.byAck:
		if now.sequence.Known() {
			return nil // it is gone, and the names may be those of the next one; the counter will tell
		}
		w.taken()
		listener.Triggered(part.Trigger{SeenAt: w.since})
		now.present, now.at = false, time.Now()
		return s.tell(ctx, w, now, listener)
	}
	w.taken()
	listener.Triggered(v.trigger(now.sequence, w.since)) // the deadline runs from there, however long the names took
	return nil
}

// latch reads everything that names the part, once, together with the counter that says whose names they are.
func (s *session) latch(ctx context.Context) (v values, err error) {
	if len(s.latched) == 0 {
		return v, nil
	}
	return s.readSoon(ctx, s.latched)
}

func (s *session) readSoon(ctx context.Context, wanted []signal) (values, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.read)
	defer cancel()
	return s.read(ctx, wanted)
}

func timedOut(err error) bool {
	var network net.Error // a context's end is one, too
	return errors.Is(err, ua.StatusBadTimeout) || errors.As(err, &network) && network.Timeout()
}
