package opcua

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gopcua/opcua/ua"

	"linectl/internal/hint"
	"linectl/internal/part"
)

// Answer tells the PLC the result of one part: first all data in one request and, when the PLC has
// confirmed each of them, result_valid alone in a second one. The order of the nodes within a request
// is undefined by the standard (Part 4, 5.10.4), so one request could be read half written.
//
// An answer that was not confirmed may still be carried out by the PLC: the session is then ended, and
// the next one begins with safe outputs.
func (l *Link) Answer(ctx context.Context, result part.Result) error {
	return l.write(ctx, func(ctx context.Context, s *session) error {
		if !result.Trigger.Sequence.Known() && result.Trigger.SeenAt.Before(s.began) {
			return errOldPart
		}
		pass := result.Verdict == part.Pass
		begun := time.Now()
		if err := s.put(ctx,
			assign{accept, pass}, assign{reject, !pass},
			assign{resultSeq, result.Trigger.Sequence.Value}, assign{resultPartID, result.Trigger.PartID}, assign{resultRecipeID, result.Trigger.Recipe},
			assign{resultCode, result.Reason.Code()}, assign{score, result.ScoreTold()},
		); err != nil {
			return fmt.Errorf("write the result: %w", err)
		}
		if s.verifies {
			if err := s.verifyResult(ctx, result); err != nil {
				return fmt.Errorf("read the result back: %w", err)
			}
		}
		// What is sent now and cut off with the cycle may be carried out all the same, after it.
		if end, limited := ctx.Deadline(); pass && limited && time.Until(end) < min(s.rounds, time.Since(begun)) {
			return errNoTime
		}
		if err := s.put(ctx, assign{resultValid, true}); err != nil {
			return fmt.Errorf("write result_valid: %w", err)
		}
		return nil
	})
}

// Clear takes the result back after the PLC has taken it: result_valid first and alone, then the
// outputs rest at reject. What names the result stays, as the record of what the PLC was told.
func (l *Link) Clear(ctx context.Context) error {
	return l.write(ctx, func(ctx context.Context, s *session) error {
		if err := s.put(ctx, assign{resultValid, false}); err != nil {
			return fmt.Errorf("clear result_valid: %w", err)
		}
		if err := s.put(ctx, assign{reject, true}, assign{accept, false}); err != nil {
			return fmt.Errorf("rest at reject: %w", err)
		}
		return nil
	})
}

// Report tells the PLC how the station is. Fault code 0 means no fault.
func (l *Link) Report(ctx context.Context, status part.Status) error {
	return l.write(ctx, func(ctx context.Context, s *session) error {
		return s.put(ctx,
			assign{ready, status.Ready}, assign{busy, status.Busy},
			assign{fault, status.Fault}, assign{faultCode, status.Code()},
			assign{stationState, stateOf(status)},
			assign{visionHeartbeat, uint32(status.Heartbeat)},
			assign{missedCount, status.Missed}, assign{overrunCount, status.Overrun}, assign{deadlineCount, status.DeadlineMissed},
		)
	})
}

// The states of the station as station_state has them. The names are those of OPC 40100-1, 8.2.2.
const (
	statePreoperational  int16 = iota // linectl is away; written when it leaves
	stateInitialized                  // a session is up, the station is not ready
	stateReady                        // a part would be inspected now
	stateSingleExecution              // a part is being inspected
	stateError                        // fault_code names the cause
)

func stateOf(status part.Status) int16 {
	switch {
	case status.Fault:
		return stateError
	case status.Busy:
		return stateSingleExecution
	case status.Ready:
		return stateReady
	}
	return stateInitialized
}

// verifyResult reads back what makes a result before it becomes valid: a PLC may confirm a write and not
// carry it out (Part 4, 5.10.4), or its program may write the tag as well.
func (s *session) verifyResult(ctx context.Context, result part.Result) error {
	pass := result.Verdict == part.Pass
	wanted := []assign{{accept, pass}, {reject, !pass}, {resultSeq, result.Trigger.Sequence.Value}, {resultCode, result.Reason.Code()}}
	wanted = slices.DeleteFunc(wanted, func(a assign) bool { return !s.has(a.signal) })
	var read []signal
	for _, a := range wanted {
		read = append(read, a.signal)
	}
	v, err := s.read(ctx, read)
	if err != nil {
		return err
	}
	for _, a := range wanted {
		if want := variant(s.types[a.signal], a.value).Value(); v[a.signal] != want {
			return hint.New(hint.Failure, &tagError{a.signal, fmt.Errorf("%v was written, the PLC holds %v", want, v[a.signal])},
				"does the PLC's own program, or another client, write this tag as well?")
		}
	}
	return nil
}

// errOldPart refuses the result of a part that came before this session, where no counter could tell
// the PLC so.
var errOldPart = fmt.Errorf("%w: the part belongs to an earlier session, and there is no counter to say so", part.ErrNotSent)

var errNoTime = failure("raise line.cycle and the PLC's own limit, or take load off the PLC's CPU or the network; 'linectl plc probe' shows where the time goes",
	"write result_valid: what is left of the cycle is less than one request to this PLC takes")

// write has the session to itself for one thing to say. If that fails, nobody knows what the PLC has
// carried out, and the session ends.
func (l *Link) write(ctx context.Context, say func(context.Context, *session) error) error {
	s := l.session.Load()
	if s == nil {
		return part.Because(part.LinkLost, ErrNoSession)
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-s.ended:
		return part.Because(part.LinkLost, fmt.Errorf("%w: %w", ErrNoSession, s.cause))
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", part.ErrNotSent, ctx.Err())
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", part.ErrNotSent, err)
	}
	select {
	case <-s.ended: // a session that failed while this waited for its turn says nothing more
		return part.Because(part.LinkLost, fmt.Errorf("%w: %w", ErrNoSession, s.cause))
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.write)
	defer cancel()
	err := say(ctx, s)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errOldPart):
		return err
	}
	s.fail(in(WriteFailed, err))
	return part.Because(part.LinkLost, err)
}

// assign is one value for one signal.
type assign struct {
	signal signal
	value  any
}

// put writes what is configured among the values, in one request if the PLC takes that many, and is content
// only if it confirms each of them. Only the value is sent: many PLCs refuse a status or a timestamp beside it.
func (s *session) put(ctx context.Context, values ...assign) error {
	values = slices.DeleteFunc(values, func(v assign) bool { return !s.has(v.signal) })
	for part := range slices.Chunk(values, s.most) {
		request := &ua.WriteRequest{}
		for _, v := range part {
			request.NodesToWrite = append(request.NodesToWrite, &ua.WriteValue{
				NodeID:      s.ids[v.signal],
				AttributeID: ua.AttributeIDValue,
				Value:       &ua.DataValue{EncodingMask: ua.DataValueValue, Value: variant(s.types[v.signal], v.value)},
			})
		}
		response, err := s.client.Write(ctx, request)
		if err != nil {
			return plain(err)
		}
		if len(response.Results) != len(part) {
			return fmt.Errorf("wrote %d values, %d were confirmed", len(part), len(response.Results))
		}
		for i, v := range part {
			if severity(response.Results[i]) != good {
				return hint.New(hint.Failure, &tagError{v.signal, fmt.Errorf("the PLC refuses the value (%s)", statusName(response.Results[i]))},
					"check in the PLC program the tag's type, for a text its length, and that it is writable over OPC UA")
			}
		}
	}
	return nil
}

// safe drives the outputs to where they can do no harm: no valid result first, then reject.
func (s *session) safe(ctx context.Context, state int16) error {
	if err := s.put(ctx, assign{resultValid, false}); err != nil {
		return err
	}
	return s.put(ctx, assign{accept, false}, assign{reject, true}, assign{ready, false}, assign{busy, false}, assign{stationState, state}, assign{lastOutage, int16(s.outage)})
}

// leave makes the outputs safe at an orderly stop. A session that failed cannot: the next one does.
func (s *session) leave(ctx context.Context) {
	select {
	case <-s.ended:
		return
	default:
	}
	if ctx.Err() == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.limits.farewell)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
		_ = s.safe(ctx, statePreoperational) // should this fail, the PLC's watchdog over vision_heartbeat stands in
		<-s.turn
	case <-ctx.Done():
	}
}
