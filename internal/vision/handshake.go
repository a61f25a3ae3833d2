package vision

import (
	"slices"
	"time"
	"unicode/utf8"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"linectl/internal/opcua"
	"linectl/internal/opcua/serve"
	"linectl/internal/part"
)

// A PLC that can write to a server and cannot call one takes the handshake of docs/plc.md the other way round: the signals
// are variables of this server. It writes the part's names, its counter and PartPresent; the result stands beside them. What
// one request writes counts as a whole, and what one request reads is of one moment.

// written is what the PLC has written.
type written struct {
	present                       bool
	rested                        bool // PartPresent was written FALSE: a part that is there later has come since
	counter                       uint32
	counts                        bool // the counter was written: it tells parts apart
	partID, lot, recipe, userData string
	beat                          uint32
}

// handshake is how it stands. The station's lock guards it.
type handshake struct {
	now     written
	beats   bool      // the heartbeat was written: it has to go on
	beaten  time.Time // when it last changed
	stale   bool
	job     *job // the newest part that came this way; nil where none did
	before  *job // the newest but one, or more, with a verdict
	came    bool // a part came this way, here or to the station before
	counter uint32
	over    bool // the PLC took its result or gave up, or it was cleared
}

// told is the newest part of this way that has a verdict.
func (h *handshake) told() *job {
	if h.job != nil && h.job.over() {
		return h.job
	}
	return h.before
}

func (h *handshake) valid() bool { return h.job != nil && h.job.over() && !h.over }

func (h *handshake) pass() bool { return h.valid() && h.job.result.Verdict == part.Pass }

// buildHandshake makes the folder of signals, named as in docs/plc/signals.csv.
func (s *Station) buildHandshake(a *space, station *node) {
	h := &s.handshake
	folder := a.child(station, id.HasComponent, ours, ua.NodeClassObject, "Handshake", id.BaseObjectType)
	in := func(name string, dataType uint32, get func() any, set func(v any)) {
		n := a.variable(folder, ours, name, dataType, func() (any, ua.StatusCode) { return get(), ua.StatusOK })
		n.set = set
	}
	text := func(name string, to *string) {
		in(name, id.String, func() any { return *to }, func(v any) { *to = v.(string) })
	}
	in("PartPresent", id.Boolean, func() any { return h.now.present }, func(v any) {
		h.now.present = v.(bool)
		h.now.rested = h.now.rested || !h.now.present
	})
	in("TriggerSeq", id.UInt32, func() any { return h.now.counter }, func(v any) { h.now.counter, h.now.counts = v.(uint32), true })
	text("PartId", &h.now.partID)
	text("Lot", &h.now.lot)
	text("RecipeId", &h.now.recipe)
	text("UserData", &h.now.userData)
	in("PlcHeartbeat", id.UInt32, func() any { return h.now.beat }, func(v any) {
		if beat := v.(uint32); beat != h.now.beat || !h.beats {
			h.now.beat, h.beats, h.beaten = beat, true, time.Now()
		}
	})

	out := func(name string, dataType uint32, get func() any) {
		a.variable(folder, ours, name, dataType, func() (any, ua.StatusCode) { return get(), ua.StatusOK })
	}
	result := func(name string, dataType uint32, otherwise any, get func(*job) any) {
		out(name, dataType, func() any {
			if j := h.told(); j != nil {
				return get(j)
			}
			return otherwise
		})
	}
	out("Accept", id.Boolean, func() any { return h.pass() })
	out("Reject", id.Boolean, func() any { return !h.pass() })
	out("ResultValid", id.Boolean, func() any { return h.valid() })
	result("ResultSeq", id.UInt32, uint32(0), func(j *job) any { return j.counter })
	result("ResultPartId", id.String, "", func(j *job) any { return j.trigger.PartID })
	result("ResultCode", id.Int16, int16(0), func(j *job) any { return j.result.Reason.Code() })
	result("Score", id.Double, float64(part.NotScored), func(j *job) any { return j.result.ScoreTold() })
}

// write takes what a PLC writes into the handshake. Everything else comes to linectl by methods.
func (s *Station) write(_ *serve.Session, r *ua.WriteRequest) (ua.Response, error) {
	if len(r.NodesToWrite) > perRequest {
		return nil, ua.StatusBadTooManyOperations
	}
	response := &ua.WriteResponse{ResponseHeader: s.server.Header(r), DiagnosticInfos: []*ua.DiagnosticInfo{}}
	results, short := s.take(r.NodesToWrite)
	if short && s.reserve() == nil { // the PLC's counter has jumped
		results, _ = s.take(r.NodesToWrite)
	}
	response.Results = results
	return response, nil
}

// take carries out what one request writes, and then acts on it as a whole. Where any of it is refused nothing of it
// stands, or a part would be taken for the one before; only a sign of life counts for itself. Short tells whether it was
// refused for want of numbers, whoever reserves them then.
func (s *Station) take(nodes []*ua.WriteValue) (results []ua.StatusCode, short bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &s.handshake
	before, beaten := h.now, h.beaten
	refusal := ua.StatusOK
	for _, n := range nodes {
		status := s.space.write(n)
		if status != ua.StatusOK {
			refusal = ua.StatusBadInvalidState
		}
		results = append(results, status)
	}
	if h.stale && h.beaten != beaten && s.up {
		s.fresh()
	}
	if refusal == ua.StatusOK && h.now != before {
		refusal = s.step(before)
	}
	if refusal != ua.StatusOK {
		short = s.reserved.need > 0
		h.now = before // nothing has happened: the PLC may try again
		for i := range results {
			if results[i] == ua.StatusOK {
				results[i] = refusal
			}
		}
	}
	return results, short
}

// step acts on what has changed since. With a counter a new value is a new part, without one the rise of PartPresent is.
// One that is there with the first writing since a restart, of which nobody knows since when, is Standing.
func (s *Station) step(before written) ua.StatusCode {
	h := &s.handshake
	arrived := h.now.present && !before.present
	if h.now.counts {
		arrived = h.now.present && (!h.came || h.now.counter != h.counter)
	}
	gap := uint32(1)
	if arrived && h.now.counts && h.came {
		now, newest := part.Sequence{Value: h.now.counter, Bits: bits}, part.Sequence{Value: h.counter, Bits: bits}
		if distance, forward := now.Since(newest); forward {
			gap = distance
		}
	}
	if arrived && !s.accepts(gap) {
		return ua.StatusBadInvalidState
	}
	if !h.now.present || arrived {
		s.leave()
	}
	if !arrived {
		return ua.StatusOK
	}
	t := part.Trigger{PartID: h.now.partID, Lot: h.now.lot, Recipe: h.now.recipe, UserData: h.now.userData}
	t.Standing = s.numbers.Last.Bits > 0 && !h.came && !h.now.rested
	h.before = h.told()
	h.job = &job{trigger: t, counter: h.now.counter}
	h.came, h.counter, h.over = true, h.now.counter, false
	s.bring(h.job, gap)
	if !h.now.counts {
		h.job.counter = h.job.trigger.Sequence.Value
	}
	return ua.StatusOK
}

// Follow goes on with what the PLC has written to the station before, which has ended: one that writes on change does
// not write it again. Another station's clients are other PLCs. It is called before Run.
func (s *Station) Follow(before *Station) {
	if !slices.Equal(s.cfg.Clients, before.cfg.Clients) {
		return
	}
	before.mu.Lock()
	defer before.mu.Unlock()
	h := before.handshake
	s.handshake = handshake{now: h.now, came: h.came, counter: h.counter}
}

// leave ends the newest part: the PLC took its result, or gave up.
func (s *Station) leave() {
	h := &s.handshake
	if h.job == nil || h.over {
		return
	}
	h.over = true
	s.finish(h.job, part.Result{Reason: part.Overrun})
	s.acknowledge(h.job)
}

// fresh tells that the PLC's program runs again.
func (s *Station) fresh() {
	s.handshake.stale = false
	s.listener.Stale(false)
	s.enter(opcua.Up, nil)
}

// watchBeat looks whether the PLC's program stands; only one that has ever shown a heartbeat can.
func (s *Station) watchBeat(done <-chan struct{}) {
	ticker := time.NewTicker(opcua.Standstill / 6)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
		}
		s.mu.Lock()
		h := &s.handshake
		if h.beats && !h.stale && time.Since(h.beaten) >= opcua.Standstill {
			h.stale = true
			s.listener.Stale(true)
			s.enter(opcua.Stopped, nil)
		}
		s.mu.Unlock()
	}
}

// write sets a variable to a value of exactly its type. A source timestamp beside it is not looked at.
func (s *space) write(w *ua.WriteValue) ua.StatusCode {
	n := s.find(w.NodeID)
	switch {
	case n == nil:
		return ua.StatusBadNodeIDUnknown
	case w.AttributeID != ua.AttributeIDValue || n.set == nil:
		return ua.StatusBadNotWritable
	case w.IndexRange != "":
		return ua.StatusBadIndexRangeInvalid
	case w.Value == nil || w.Value.Value == nil:
		return ua.StatusBadTypeMismatch
	case w.Value.Status != ua.StatusOK:
		return ua.StatusBadWriteNotSupported
	}
	v := w.Value.Value.Value()
	fits := false
	switch n.dataType.IntID() {
	case id.Boolean:
		_, fits = v.(bool)
	case id.UInt32:
		_, fits = v.(uint32)
	case id.String:
		var text string
		if text, fits = v.(string); fits && (len(text) > longestText || !utf8.ValidString(text)) {
			return ua.StatusBadOutOfRange
		}
	}
	if !fits {
		return ua.StatusBadTypeMismatch
	}
	n.set(v)
	return ua.StatusOK
}
