package opcua

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"linectl/internal/part"
	"linectl/internal/sim/plc"
)

// writes collects the PLC's view of what was written, but for the station's own status.
type writes struct {
	mu  sync.Mutex
	all []string
}

func (w *writes) add(written map[string]any) {
	if _, status := written["vision_heartbeat"]; status {
		return
	}
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(written)) {
		fmt.Fprintf(&b, " %s=%v", key, written[key])
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, strings.TrimSpace(b.String()))
}

func (w *writes) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.all
	w.all = nil
	return all
}

func TestHandshake(t *testing.T) {
	for _, width := range []int{16, 32} {
		t.Run(fmt.Sprint(width, " bits"), func(t *testing.T) {
			var written writes
			p := startPLC(t, plc.Config{Width: width, OnWrite: written.add, ResultLimit: patience})
			l, heard := calmLink(t, configFor(p))
			heard.want(t, "connected")
			if got, want := written.take(), []string{
				"result_valid=false",
				"accept=false busy=false last_outage=0 ready=false reject=true station_state=1",
			}; !slices.Equal(got, want) {
				t.Errorf("at connect the PLC saw %q, want %q", got, want)
			}
			beat(t, l)
			until(t, "linectl's heartbeat", func() bool { return p.Tag("vision_heartbeat") != uint16(0) })

			if o := inspect(t, p, l, heard, part.Pass); !o.Pass || !o.Told || o.Seq != 1 || o.Code != 1 || o.Score != 0.25 {
				t.Errorf("a good part: %+v", o)
			}
			if got, want := written.take(), []string{
				"accept=true reject=false result_code=1 result_part_id=P-1 result_recipe_id=bracket result_seq=1 score=0.25",
				"result_valid=true",
				"result_valid=false",
				"accept=false reject=true",
			}; !slices.Equal(got, want) {
				t.Errorf("the PLC saw\n%q, want\n%q", got, want)
			}
			if o := inspect(t, p, l, heard, part.Reject); o.Pass || !o.Told || o.Seq != 2 || o.Code != 2 {
				t.Errorf("a bad part: %+v", o)
			}
			atRest(t, p)
		})
	}
}

func TestTriggerNamesThePart(t *testing.T) {
	p := startPLC(t, plc.Config{})
	_, heard := calmLink(t, configFor(p))
	heard.want(t, "connected")
	before := time.Now()
	p.Present(plc.Part{ID: "A7", Lot: "L9", Recipe: "bracket", UserData: "cavity 3"})
	got := heard.want(t, "triggered").trigger
	if got.SeenAt.Before(before) || got.SeenAt.After(time.Now()) {
		t.Errorf("seen at %s, presented at %s", got.SeenAt, before)
	}
	got.SeenAt = time.Time{}
	if want := (part.Trigger{Sequence: part.Sequence{Value: 1, Bits: 16}, PartID: "A7", Lot: "L9", Recipe: "bracket", UserData: "cavity 3"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	heard.silent(t) // one part, one trigger
}

func TestNumericRecipe(t *testing.T) {
	p := startPLC(t, plc.Config{Tags: map[string]any{"recipe_id": int16(0), "result_recipe_id": int16(0)}})
	l, heard := calmLink(t, configFor(p))
	if s := heard.want(t, "connected").snapshot; s.Trigger.Recipe != "" {
		t.Errorf("recipe 0 reads as %q, want none", s.Trigger.Recipe)
	}
	p.Set("recipe_id", int16(12))
	p.Skip(1)
	p.Set("part_present", true)
	trigger := heard.want(t, "triggered").trigger
	if trigger.Recipe != "12" {
		t.Errorf("recipe is %q, want 12", trigger.Recipe)
	}
	if err := l.Answer(t.Context(), part.Result{Trigger: trigger, Reason: part.RecipeMismatch}); err != nil || p.Tag("result_recipe_id") != int16(12) {
		t.Errorf("the echo is %v, %v", p.Tag("result_recipe_id"), err)
	}
}

func TestGapsOverrunsAndWrapInOrder(t *testing.T) {
	p := startPLC(t, plc.Config{Tags: map[string]any{"trigger_seq": uint16(65533)}})
	_, heard := calmLink(t, configFor(p))
	if s := heard.want(t, "connected").snapshot; s.Present || s.Trigger.Sequence.Value != 65533 {
		t.Errorf("snapshot %+v", s)
	}
	p.Present(plc.Part{})
	heard.want(t, "triggered 65534")
	p.Present(plc.Part{}) // the PLC goes on without a word
	heard.want(t, "withdrawn", "triggered 65535")
	p.Withdraw()
	heard.want(t, "withdrawn")
	p.Skip(2)
	p.Present(plc.Part{})
	heard.want(t, "triggered 2")
	p.Withdraw()
	heard.want(t, "withdrawn")
	p.Set("part_present", true) // the same part again is no new one
	heard.silent(t)
}

// A PLC that drops part_present and presents the next part between two polls.
func TestFallAndRiseBetweenPolls(t *testing.T) {
	p := startPLC(t, plc.Config{})
	cfg := configFor(p)
	_, heard := calmLink(t, cfg)
	heard.want(t, "connected")
	p.Present(plc.Part{})
	heard.want(t, "triggered 1")
	p.DelayReads(150 * time.Millisecond)
	time.Sleep(200 * time.Millisecond) // a slow read is under way; what happens in it is seen by the next
	p.Withdraw()
	p.Present(plc.Part{})
	heard.want(t, "withdrawn", "triggered 2")
}

func TestResultAck(t *testing.T) {
	p := startPLC(t, plc.Config{})
	cfg := configFor(p)
	cfg.Tags.ResultAck = p.Tags()["result_ack"]
	_, heard := calmLink(t, cfg)
	heard.want(t, "connected")
	p.Present(plc.Part{})
	heard.want(t, "triggered 1")
	p.Withdraw() // falls early, which means nothing here
	heard.silent(t)
	p.Set("result_ack", true)
	heard.want(t, "withdrawn")
	heard.silent(t)
}

func TestPLCProgramStops(t *testing.T) {
	p := startPLC(t, plc.Config{})
	cfg := configFor(p)
	_, heard := calmLink(t, cfg)
	if s := heard.want(t, "connected").snapshot; !s.Unproven {
		t.Error("the PLC's program is taken to run before it was seen to")
	}
	heard.want(t, "fresh")
	p.StopHeartbeat(true)
	heard.want(t, "stale")
	heard.silent(t)
	p.StopHeartbeat(false)
	heard.want(t, "fresh")
}

func TestStatus(t *testing.T) {
	p := startPLC(t, plc.Config{})
	l, heard := calmLink(t, configFor(p))
	heard.want(t, "connected")
	status := part.Status{Ready: true, Busy: true, Fault: true, FaultCode: part.NoFrame, Heartbeat: 7, Missed: 1, Overrun: 2, DeadlineMissed: 3}
	if err := l.Report(t.Context(), status); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"ready": true, "busy": true, "fault": true, "fault_code": int16(21), "vision_heartbeat": uint16(7),
		"missed_count": uint32(1), "overrun_count": uint32(2), "deadline_count": uint32(3),
	} {
		if got := p.Tag(key); got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	if err := l.Report(t.Context(), part.Status{FaultCode: part.None}); err != nil {
		t.Fatal(err)
	}
	if got := p.Tag("fault_code"); got != int16(0) {
		t.Errorf("fault_code without a fault is %v, want 0", got)
	}
}

// The tags are the record of the last result: they are read before anything is written, and they stay.
func TestJournal(t *testing.T) {
	p := startPLC(t, plc.Config{Tags: map[string]any{
		"trigger_seq": uint16(41), "part_present": true, "part_id": "P-41",
		"result_seq": uint16(41), "result_part_id": "P-41", "accept": true, "reject": false, "result_code": int16(1), "score": float32(0.5), "result_valid": true, "ready": true,
	}})
	_, heard := calmLink(t, configFor(p))
	got := heard.want(t, "connected").snapshot
	got.Trigger.SeenAt = time.Time{}
	sequence := part.Sequence{Value: 41, Bits: 16}
	if want := (part.Snapshot{
		Trigger: part.Trigger{Sequence: sequence, PartID: "P-41"},
		Present: true, Unproven: true,
		Told: part.Told{Sequence: sequence, PartID: "P-41", Verdict: part.Pass, Reason: part.None, Score: 0.5, Valid: true},
	}); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	atRest(t, p)
	for key, want := range map[string]any{"result_seq": uint16(41), "result_code": int16(1), "score": float32(0.5), "result_part_id": "P-41", "ready": false} {
		if got := p.Tag(key); got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	heard.silent(t) // a part that was there before is no trigger
}

func TestStopLeavesOutputsSafe(t *testing.T) {
	p := startPLC(t, plc.Config{Tags: map[string]any{"part_present": false}})
	l, heard, stop := runLink(t, configFor(p))
	heard.want(t, "connected")
	result := part.Result{Trigger: part.Trigger{Sequence: part.Sequence{Value: 9, Bits: 16}}, Verdict: part.Pass, Reason: part.None, Score: 0.1}
	if err := l.Answer(t.Context(), result); err != nil {
		t.Fatal(err)
	}
	if err := l.Report(t.Context(), part.Status{Ready: true}); err != nil {
		t.Fatal(err)
	}
	if p.Tag("result_valid") != true || p.Tag("accept") != true || p.Tag("ready") != true {
		t.Fatal("the pass did not arrive")
	}
	stop()
	atRest(t, p)
	if p.Tag("ready") != false {
		t.Error("ready stayed TRUE")
	}
	if err := l.Answer(t.Context(), result); err == nil || err.Error() != ErrNoSession.Error() || part.ReasonOf(err, part.Unknown) != part.LinkLost {
		t.Errorf("an answer without a session: %v", err)
	}
}

func TestMinimalProfile(t *testing.T) {
	p := startPLC(t, plc.Config{IgnoreWatchdog: true, ResultLimit: patience, Tags: map[string]any{"result_seq": nil, "accept": nil}})
	cfg := configFor(p)
	cfg.Profile = Minimal
	ids := p.Tags()
	cfg.Tags = Tags{PartPresent: ids["part_present"], Reject: ids["reject"], ResultValid: ids["result_valid"]}
	l, heard := calmLink(t, cfg)
	heard.want(t, "connected")
	for range 3 {
		if o := inspect(t, p, l, heard, part.Pass); !o.Pass {
			t.Errorf("a good part: %+v", o)
		}
		if o := inspect(t, p, l, heard, part.Reject); o.Pass || !o.Told {
			t.Errorf("a bad part: %+v", o)
		}
	}
	// Without a counter the PLC cannot tell an old part's result from a new one's.
	old := part.Result{Trigger: part.Trigger{SeenAt: time.Now().Add(-time.Hour)}, Verdict: part.Pass, Reason: part.None}
	if err := l.Answer(t.Context(), old); err != errOldPart {
		t.Errorf("the result of a part before the session: %v", err)
	}
	if p.Tag("reject") != true {
		t.Error("the old result reached the PLC")
	}
}

// Answers, clears and reports from several goroutines never mix within one another.
func TestWritesTakeTurns(t *testing.T) {
	var written writes
	p := startPLC(t, plc.Config{OnWrite: written.add})
	l, heard := calmLink(t, configFor(p))
	heard.want(t, "connected")
	written.take()
	var work sync.WaitGroup
	for n := range 20 {
		work.Go(func() {
			if err := l.Answer(context.Background(), part.Result{Trigger: part.Trigger{Sequence: part.Sequence{Value: uint32(n), Bits: 16}}}); err != nil {
				t.Error(err)
			}
		})
		work.Go(func() {
			if err := l.Clear(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	all := written.take()
	if len(all) != 80 {
		t.Fatalf("the PLC saw %d writes, want 80", len(all))
	}
	for i := 0; i < len(all); i += 2 {
		answer := strings.Contains(all[i], "result_seq=") && all[i+1] == "result_valid=true"
		clear := all[i] == "result_valid=false" && all[i+1] == "accept=false reject=true"
		if !answer && !clear {
			t.Errorf("torn: %q, %q", all[i], all[i+1])
		}
	}
}

func TestStationState(t *testing.T) {
	p := startPLC(t, plc.Config{Tags: map[string]any{"station_state": int16(4)}})
	ctx, stop := context.WithCancel(t.Context())
	heard := make(ear, 16)
	l, err := New(configFor(p), certificates, heard, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	heard.want(t, "connected")
	if got := p.Tag("station_state"); got != int16(1) {
		t.Errorf("at connect the state is %v, want 1", got)
	}
	for want, status := range map[int16]part.Status{
		1: {}, 2: {Ready: true}, 3: {Busy: true}, 4: {Busy: true, Fault: true, FaultCode: part.NoFrame},
	} {
		if err := l.Report(t.Context(), status); err != nil {
			t.Fatal(err)
		}
		if got := p.Tag("station_state"); got != want {
			t.Errorf("%+v: the state is %v, want %d", status, got, want)
		}
	}
	stop()
	<-done
	if got := p.Tag("station_state"); got != int16(0) {
		t.Errorf("after linectl left the state is %v, want 0", got)
	}
}

// A PLC that confirms what it does not do: with verify_writes nothing becomes valid.
func TestVerifyWrites(t *testing.T) {
	for _, verify := range []bool{true, false} {
		t.Run(fmt.Sprint(verify), func(t *testing.T) {
			var p *plc.PLC
			p = startPLC(t, plc.Config{IgnoreWatchdog: true, ResultLimit: patience, OnWrite: func(written map[string]any) {
				if written["accept"] == true {
					p.Set("result_seq", uint16(7)) // the PLC's own program writes it as well
				}
			}})
			cfg := configFor(p)
			cfg.VerifyWrites = verify
			l, heard := calmLink(t, cfg)
			heard.want(t, "connected")
			p.Present(plc.Part{})
			trigger := heard.want(t, "triggered").trigger
			err := l.Answer(t.Context(), part.Result{Trigger: trigger, Verdict: part.Pass, Reason: part.None})
			if !verify {
				if err != nil {
					t.Errorf("without verify_writes: %v", err)
				}
				return
			}
			if want := "read the result back: plc.tags.result_seq: 1 was written, the PLC holds 7"; err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
			heard.want(t, "disconnected")
			connectedAgain(t, heard)
			atRest(t, p)
		})
	}
}

// With verify_writes an honest PLC gets its results as without.
func TestVerifiedHandshake(t *testing.T) {
	p := startPLC(t, plc.Config{IgnoreWatchdog: true, ResultLimit: patience})
	cfg := configFor(p)
	cfg.VerifyWrites = true
	l, heard := calmLink(t, cfg)
	recovered(t, p, l, heard)
}
