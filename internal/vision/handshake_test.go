package vision

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"linectl/internal/part"
)

// writer is a PLC that writes to linectl's server and reads from it.
type writer struct {
	*testing.T
	client *opcua.Client
}

func (w writer) node(name string) *ua.NodeID {
	return ua.NewStringNodeID(ours, "Station/Handshake/"+name)
}

// put writes some variables in one request, and gives the first refusal.
func (w writer) put(pairs ...any) (status ua.StatusCode) {
	w.Helper()
	for _, status = range w.write(pairs...) {
		if status != ua.StatusOK {
			return status
		}
	}
	return ua.StatusOK
}

func (w writer) write(pairs ...any) []ua.StatusCode {
	w.Helper()
	r := &ua.WriteRequest{}
	for i := 0; i < len(pairs); i += 2 {
		r.NodesToWrite = append(r.NodesToWrite, &ua.WriteValue{NodeID: w.node(pairs[i].(string)), AttributeID: ua.AttributeIDValue,
			Value: &ua.DataValue{EncodingMask: ua.DataValueValue, Value: ua.MustVariant(pairs[i+1])}})
	}
	response, err := w.client.Write(w.Context(), r)
	if err != nil {
		w.Fatal(err)
	}
	return response.Results
}

// get reads some in one request.
func (w writer) get(names ...string) (values []any) {
	w.Helper()
	r := &ua.ReadRequest{TimestampsToReturn: ua.TimestampsToReturnNeither}
	for _, name := range names {
		r.NodesToRead = append(r.NodesToRead, &ua.ReadValueID{NodeID: w.node(name), AttributeID: ua.AttributeIDValue})
	}
	response, err := w.client.Read(w.Context(), r)
	if err != nil {
		w.Fatal(err)
	}
	for _, v := range response.Results {
		values = append(values, v.Value.Value())
	}
	return values
}

// verdict waits for a result, as the program in docs/plc does.
func (w writer) verdict() string {
	w.Helper()
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(time.Millisecond) {
		if v := w.get("ResultValid", "ResultSeq", "Accept", "Reject", "ResultCode", "ResultPartId"); v[0] == true {
			return fmt.Sprint(v[1:])
		}
	}
	w.Fatal("there was no result")
	return ""
}

const atRest = "[false false true]"

func (w writer) outputs() string { return fmt.Sprint(w.get("ResultValid", "Accept", "Reject")) }

func startWriter(t *testing.T) (writer, *Station, *world) {
	s, world := start(t)
	client, err := dial(t, s, "Basic256Sha256", ua.MessageSecurityModeSignAndEncrypt, "plc")
	if err != nil {
		t.Fatal(err)
	}
	plc := writer{t, client}
	plc.put("PartPresent", false)
	return plc, s, world
}

// The first part of all has no restart behind it: the PLC need not have written anything before.
func TestHandshakeFirstPart(t *testing.T) {
	t.Parallel()
	s, _ := startFrom(t, counting(0))
	client, err := dial(t, s, "Basic256Sha256", ua.MessageSecurityModeSignAndEncrypt, "plc")
	if err != nil {
		t.Fatal(err)
	}
	plc := writer{t, client}
	plc.put("PartId", "A", "TriggerSeq", uint32(7), "PartPresent", true)
	if got := plc.verdict(); got != "[7 true false 1 A]" {
		t.Errorf("the first part: %s", got)
	}
}

// A part that is there with the first writing since a restart is not inspected: it may have stood there for long.
func TestHandshakePresentAtStart(t *testing.T) {
	t.Parallel()
	s, w := start(t)
	client, err := dial(t, s, "Basic256Sha256", ua.MessageSecurityModeSignAndEncrypt, "plc")
	if err != nil {
		t.Fatal(err)
	}
	plc := writer{t, client}
	plc.put("PartId", "A", "TriggerSeq", uint32(7), "PartPresent", true)
	if got := plc.verdict(); got != "[7 false true 25 A]" {
		t.Errorf("there at the start: %s", got)
	}
	plc.put("PartPresent", true) // again, as PLCs do that write in every cycle
	plc.put("PartPresent", false)
	plc.put("PartId", "B", "TriggerSeq", uint32(8), "PartPresent", true)
	if got := plc.verdict(); got != "[8 true false 1 B]" {
		t.Errorf("the next: %s", got)
	}
	if got := w.reasons(t, 2); fmt.Sprint(got) != fmt.Sprint([]part.Reason{part.PresentAtStart, part.None}) {
		t.Errorf("rows: %v", got)
	}
}

// A reload keeps what a PLC has written that writes on change: its next part is no part that may have stood there for
// long, the part before it comes no second time, and those between them are missed.
func TestHandshakeGoesOnAfterReload(t *testing.T) {
	put := func(s *Station, pairs ...any) {
		t.Helper()
		var nodes []*ua.WriteValue
		for i := 0; i < len(pairs); i += 2 {
			nodes = append(nodes, &ua.WriteValue{NodeID: writer{}.node(pairs[i].(string)), AttributeID: ua.AttributeIDValue,
				Value: &ua.DataValue{Value: ua.MustVariant(pairs[i+1])}})
		}
		results, _ := s.take(nodes)
		for _, status := range results {
			if status != ua.StatusOK {
				t.Errorf("%v: %v", pairs, status)
			}
		}
	}
	for _, present := range []bool{false, true} { // while the config is reloaded
		old, _ := station(t)
		put(old, "PartPresent", false, "Lot", "L1")
		put(old, "TriggerSeq", uint32(7), "PartPresent", true)
		put(old, "PartPresent", present)
		s, _ := station(t)
		s.Follow(old)
		put(s, "PlcHeartbeat", uint32(1))
		if s.handshake.job != nil {
			t.Errorf("present %v: a part came by the heartbeat", present)
		}
		put(s, "TriggerSeq", uint32(9), "PartPresent", true)
		if j := s.handshake.job; j == nil || j.trigger.Standing || j.trigger.Lot != "L1" || s.last != 0 {
			t.Errorf("present %v: %+v, sequence %d", present, j, s.last)
		}
	}
}

// A request of which one value is refused does not stand at all: no part begins with the names of the one before.
func TestHandshakeRefusesAsAWhole(t *testing.T) {
	t.Parallel()
	plc, s, w := startWriter(t)
	plc.put("PartId", "A", "RecipeId", "bracket", "TriggerSeq", uint32(7), "PartPresent", true)
	plc.verdict()
	plc.put("PartPresent", false)
	before := fmt.Sprint(plc.get("PartId", "RecipeId", "TriggerSeq", "PartPresent"))
	for _, c := range []struct {
		name  string
		value any
		want  ua.StatusCode
	}{
		{"PartId", "\xff", ua.StatusBadOutOfRange},
		{"PartId", strings.Repeat("x", longestText+1), ua.StatusBadOutOfRange},
		{"RecipeId", int16(3), ua.StatusBadTypeMismatch},
		{"Nothing", true, ua.StatusBadNodeIDUnknown},
	} {
		got := plc.write("Lot", "L2", c.name, c.value, "TriggerSeq", uint32(8), "PartPresent", true)
		want := []ua.StatusCode{ua.StatusBadInvalidState, c.want, ua.StatusBadInvalidState, ua.StatusBadInvalidState}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", c.name, got, want)
		}
		if got := fmt.Sprint(plc.get("PartId", "RecipeId", "TriggerSeq", "PartPresent")); got != before {
			t.Errorf("%s: %s stands, want %s", c.name, got, before)
		}
	}
	plc.put("PartId", "B", "TriggerSeq", uint32(8), "PartPresent", true)
	if got := plc.verdict(); got != "[8 true false 1 B]" {
		t.Errorf("the next whole request: %s", got)
	}
	if w.reasons(t, 2); s.last != 43 {
		t.Errorf("the last sequence is %d", s.last)
	}
}

// rows waits for the reasons of all rows.
func (w *world) reasons(t *testing.T, many int) (reasons []part.Reason) {
	t.Helper()
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		w.mu.Lock()
		reasons = nil
		for _, r := range w.rows {
			reasons = append(reasons, r.Reason)
		}
		w.mu.Unlock()
		if len(reasons) >= many {
			return reasons
		}
	}
	t.Fatalf("rows: %v, want %d", reasons, many)
	return nil
}

// A PLC that writes: each part has one verdict, told under the PLC's own counter, taken back when PartPresent falls.
func TestHandshake(t *testing.T) {
	t.Parallel()
	plc, s, w := startWriter(t)
	if got := plc.outputs(); got != atRest {
		t.Errorf("before the first part: %s", got)
	}
	for _, c := range []struct {
		seq  uint32
		part string
		want string
	}{{1000, "A", "[1000 true false 1 A]"}, {1001, "bad", "[1001 false true 2 bad]"}, {1002, "B", "[1002 true false 1 B]"}} {
		if status := plc.put("PartId", c.part, "Lot", "L1", "UserData", "cavity 2", "TriggerSeq", c.seq, "PartPresent", true); status != ua.StatusOK {
			t.Fatal(status)
		}
		if got := plc.verdict(); got != c.want {
			t.Errorf("part %s: %s, want %s", c.part, got, c.want)
		}
		plc.put("PartPresent", false)
		if got := plc.outputs(); got != atRest {
			t.Errorf("after part %s: %s", c.part, got)
		}
		ready(t, s)
	}
	if got := fmt.Sprint(plc.get("ResultSeq", "ResultPartId", "ResultCode")); got != "[1002 B 1]" {
		t.Errorf("what stays: %s", got)
	}
	// The same counter again is no other part; one that jumps says how many went by.
	plc.put("PartPresent", true)
	plc.put("PartPresent", false)
	plc.put("PartId", "C", "TriggerSeq", uint32(1005), "PartPresent", true)
	if got := plc.verdict(); got != "[1005 true false 1 C]" {
		t.Errorf("after a jump: %s", got)
	}
	// The next part while this result still stands: the counter alone says so.
	plc.put("PartId", "D", "TriggerSeq", uint32(1006))
	if got := plc.verdict(); got != "[1006 true false 1 D]" {
		t.Errorf("the next at once: %s", got)
	}
	plc.put("PartPresent", false)
	// A PLC that was restarted counts anew.
	plc.put("PartId", "E", "TriggerSeq", uint32(1), "PartPresent", true)
	plc.verdict()
	plc.put("PartPresent", false)
	w.reasons(t, 7)
	w.mu.Lock()
	defer w.mu.Unlock()
	var rows string
	for _, r := range w.rows {
		rows += fmt.Sprintf("%d %s %s %d; ", r.Trigger.Sequence.Value, r.Trigger.PartID, r.Reason, r.Missed)
	}
	const want = "42 A  0; 43 bad anomaly 0; 44 B  0; 46  missed-trigger 2; 47 C  0; 48 D  0; 49 E  0; "
	if rows != want {
		t.Errorf("rows: %s\nwant: %s", rows, want)
	}
	if s.last != 49 || w.rows[0].Trigger.Lot != "L1" || w.rows[0].Trigger.UserData != "cavity 2" {
		t.Errorf("last %d, %+v", s.last, w.rows[0].Trigger)
	}
}

// A counter that has jumped by more than there are numbers kept is taken at once all the same.
func TestHandshakeJump(t *testing.T) {
	t.Parallel()
	plc, s, w := startWriter(t)
	for _, c := range []struct {
		seq  uint32
		want string
	}{{7, "[7 true false 1 A]"}, {507, "[507 true false 1 A]"}} {
		if status := plc.put("PartId", "A", "TriggerSeq", c.seq, "PartPresent", true); status != ua.StatusOK {
			t.Errorf("%d: %v", c.seq, status)
		}
		if got := plc.verdict(); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
		plc.put("PartPresent", false)
		ready(t, s)
	}
	w.reasons(t, 3)
	w.mu.Lock()
	defer w.mu.Unlock()
	if missed := w.rows[1].Missed; missed != 499 {
		t.Errorf("%d parts were missed, want 499", missed)
	}
}

// Without a counter the rise of PartPresent is a part; one that is taken away before its verdict has none.
func TestHandshakeWithoutCounter(t *testing.T) {
	t.Parallel()
	plc, s, w := startWriter(t)
	plc.put("PartId", "slow", "PartPresent", true)
	plc.put("PartPresent", false)
	if got := plc.outputs(); got != atRest {
		t.Errorf("given up: %s", got)
	}
	if got := w.reasons(t, 1); got[0] != part.Overrun {
		t.Errorf("given up: %s", got)
	}
	ready(t, s)
	plc.put("PartId", "A", "PartPresent", true)
	if got := plc.verdict(); got != "[43 true false 1 A]" {
		t.Errorf("the next: %s", got)
	}
	plc.put("PartPresent", false)
}

// What cannot be a signal is refused and changes nothing; so is a part that cannot be taken.
func TestHandshakeRefuses(t *testing.T) {
	t.Parallel()
	plc, s, w := startWriter(t)
	for _, c := range []struct {
		name  string
		value any
		want  ua.StatusCode
	}{
		{"Accept", true, ua.StatusBadNotWritable},
		{"ResultValid", true, ua.StatusBadNotWritable},
		{"PartPresent", int32(1), ua.StatusBadTypeMismatch},
		{"TriggerSeq", uint16(1), ua.StatusBadTypeMismatch},
		{"PartId", []string{"A"}, ua.StatusBadTypeMismatch},
		{"PartId", "\xff", ua.StatusBadOutOfRange},
		{"Nothing", true, ua.StatusBadNodeIDUnknown},
	} {
		if got := plc.put(c.name, c.value); got != c.want {
			t.Errorf("%s = %v: %v, want %v", c.name, c.value, got, c.want)
		}
	}
	s.command(halted, automatic)
	if got := plc.put("TriggerSeq", uint32(7), "PartPresent", true); got != ua.StatusBadInvalidState {
		t.Errorf("halted: %v", got)
	}
	if got := fmt.Sprint(plc.get("PartPresent", "TriggerSeq")); got != "[false 0]" {
		t.Errorf("what was refused stands: %s", got)
	}
	s.command(preoperational, halted)
	s.command(automatic, preoperational)
	if got := plc.put("PartId", "A", "TriggerSeq", uint32(7), "PartPresent", true); got != ua.StatusOK {
		t.Errorf("again: %v", got)
	}
	plc.verdict()
	if got := w.reasons(t, 1); len(got) != 1 {
		t.Errorf("rows: %v", got)
	}
}
