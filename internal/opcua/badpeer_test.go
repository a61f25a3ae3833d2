package opcua

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"linectl/internal/part"
	"linectl/internal/sim/plc"
)

// Values that no honest PLC shows, in every tag of the right type: linectl goes on or says why not, and
// passes nothing by it.
func TestBadValues(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, c := range []struct {
		name    string
		tags    map[string]any // before linectl connects
		connect bool           // whether a session comes about
		wrong   string         // why not
	}{
		{"score is NaN", map[string]any{"score": float32(math.NaN())}, true, ""},
		{"score is infinite", map[string]any{"score": float32(math.Inf(1))}, true, ""},
		{"a name of 1 MB", map[string]any{"part_id": long}, true, ""},
		{"three names of 1 MB", map[string]any{"part_id": long, "lot": long, "recipe_id": long}, false, "the PLC's answer is too long"},
		{"names that are no UTF-8", map[string]any{"part_id": "\xff\xfe\x00", "lot": "\x00"}, true, ""},
		{"code that nobody knows", map[string]any{"result_code": int16(-32768)}, true, ""},
		{"counter that is negative", map[string]any{"trigger_seq": int16(-1)}, false, "plc.tags.trigger_seq"},
		{"counter that is a text", map[string]any{"trigger_seq": "1"}, false, "is String; allowed is UInt16 or UInt32"},
		{"part_present is a number", map[string]any{"part_present": float64(1)}, false, "is Double; allowed is Boolean"},
		{"reject is a list", map[string]any{"reject": []bool{true, false}}, false, "is an array of Boolean; allowed is Boolean"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := startPLC(t, plc.Config{Tags: c.tags, IgnoreWatchdog: true, ResultLimit: patience})
			l, heard := calmLink(t, configFor(p))
			if !c.connect {
				if got := heard.want(t, "disconnected"); !strings.Contains(got.err.Error(), c.wrong) {
					t.Errorf("heard %v, want %q", got.err, c.wrong)
				}
				if err := l.Answer(t.Context(), part.Result{Verdict: part.Pass, Reason: part.None}); !errors.Is(err, ErrNoSession) {
					t.Errorf("an answer without a session: %v", err)
				}
				return
			}
			if told := heard.want(t, "connected").snapshot.Told; told.Verdict == part.Pass {
				t.Errorf("a pass was read out of %+v", told)
			}
			if o := inspect(t, p, l, heard, part.Pass); !o.Pass {
				t.Errorf("a good part: %+v", o)
			}
			atRest(t, p)
		})
	}
}

// A name of 1 MB comes with the trigger itself.
func TestLongNames(t *testing.T) {
	p := startPLC(t, plc.Config{})
	_, heard := calmLink(t, configFor(p))
	heard.want(t, "connected")
	long := strings.Repeat("ä", 1<<19)
	p.Present(plc.Part{ID: long})
	if got := heard.want(t, "triggered").trigger; got.PartID != long {
		t.Errorf("a name of %d bytes, want %d", len(got.PartID), len(long))
	}
}

// A counter that jumps and goes back is told as it is, each value once.
func TestJumpingCounter(t *testing.T) {
	p := startPLC(t, plc.Config{Width: 32})
	_, heard := calmLink(t, configFor(p))
	heard.want(t, "connected")
	for _, n := range []uint32{5, 4294967295, 0, 2147483648, 2147483647, 5, 1} {
		p.Set("trigger_seq", n)
		p.Set("part_present", true)
		if got := heard.want(t, "triggered").trigger.Sequence; got != (part.Sequence{Value: n, Bits: 32}) {
			t.Errorf("heard %s, want %d", got, n)
		}
		p.Withdraw()
		heard.want(t, "withdrawn")
	}
}

// A PLC with thousands of tags beside those of the line: a missing one is still named with the one that it
// could be, and the link works as with few.
func TestThousandsOfTags(t *testing.T) {
	tags := map[string]any{}
	for i := range 6000 {
		tags[fmt.Sprintf("a_%04d", i)] = int16(i)
	}
	p := startPLC(t, plc.Config{Tags: tags, IgnoreWatchdog: true, ResultLimit: patience})
	cfg := configFor(p)
	right := cfg.Tags.TriggerSeq
	cfg.Tags.TriggerSeq = strings.Replace(right, "TriggerSeq", "TrigerSeq", 1)
	if err := Check(t.Context(), cfg, certificates, 0); err == nil || !strings.Contains(err.Error(), "does not exist on the PLC; there is "+right) {
		t.Errorf("a missing tag: %v", err)
	}
	cfg.Tags.TriggerSeq = right
	l, heard := calmLink(t, cfg)
	connectedAgain(t, heard)
	if o := inspect(t, p, l, heard, part.Pass); !o.Pass {
		t.Errorf("a good part: %+v", o)
	}
}
