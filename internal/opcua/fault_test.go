package opcua

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"linectl/internal/part"
	"linectl/internal/sim/plc"
)

// recovered waits for the next session, runs a good and a bad part through it, and leaves the outputs at rest.
func recovered(t *testing.T, p *plc.PLC, l *Link, heard ear) {
	t.Helper()
	heard.want(t, "connected")
	atRest(t, p)
	until(t, "linectl's heartbeat after the fault", func() bool { return l.Report(t.Context(), part.Status{Heartbeat: 1}) == nil })
	if o := inspect(t, p, l, heard, part.Pass); !o.Pass {
		t.Errorf("a good part after the fault: %+v", o)
	}
	if o := inspect(t, p, l, heard, part.Reject); o.Pass || !o.Told {
		t.Errorf("a bad part after the fault: %+v", o)
	}
	atRest(t, p)
}

func TestPLCRestarts(t *testing.T) {
	for _, retentive := range []bool{true, false} {
		name := map[bool]string{true: "with its memory", false: "without its memory"}[retentive]
		t.Run(name, func(t *testing.T) {
			first, err := plc.Start(plc.Config{Folder: certificates, IgnoreWatchdog: true, ResultLimit: patience})
			if err != nil {
				t.Fatal(err)
			}
			l, heard := startLink(t, configFor(first))
			heard.want(t, "connected")
			if o := inspect(t, first, l, heard, part.Pass); !o.Pass {
				t.Fatalf("before the restart: %+v", o)
			}
			closePLC(t, first)
			heard.want(t, "disconnected")

			cfg := plc.Config{Folder: certificates, Address: first.Address(), IgnoreWatchdog: true, ResultLimit: patience}
			if retentive {
				cfg.Tags = first.Memory()
			}
			second := startPLC(t, cfg)
			got := heard.next(t)
			for got.kind == "disconnected" { // refused while it was away
				got = heard.next(t)
			}
			if got.kind != "connected" {
				t.Fatalf("heard %q", got)
			}
			want := uint32(0)
			if retentive {
				want = 1
			}
			if s := got.snapshot; s.Trigger.Sequence.Value != want || s.Told.Sequence.Value != want {
				t.Errorf("snapshot after the restart: %+v", s)
			}
			if o := inspect(t, second, l, heard, part.Pass); !o.Pass || o.Seq != want+1 {
				t.Errorf("after the restart: %+v", o)
			}
		})
	}
}

func TestSessionsDropped(t *testing.T) {
	p := startPLC(t, plc.Config{IgnoreWatchdog: true, ResultLimit: patience})
	l, heard := startLink(t, configFor(p))
	heard.want(t, "connected")
	p.DropSessions()
	heard.want(t, "disconnected")
	recovered(t, p, l, heard)
}

func TestCableFaults(t *testing.T) {
	for _, fault := range []struct {
		name   string
		happen func(*plc.Cable)
	}{
		{"cut", (*plc.Cable).Cut},
		{"reset", (*plc.Cable).Reset},
		{"hang", (*plc.Cable).Hang},
	} {
		t.Run(fault.name, func(t *testing.T) {
			p := startPLC(t, plc.Config{IgnoreWatchdog: true, ResultLimit: 300 * time.Millisecond})
			cable, err := plc.NewCable(p.Address())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { cable.Close() })
			cfg := configFor(p)
			cfg.Endpoint = "opc.tcp://" + cable.Address()
			l, heard := startLink(t, cfg)
			heard.want(t, "connected")

			fault.happen(cable)
			// The part in view while the cable is gone: nobody tells the PLC, so it does not pass.
			o, err := p.Inspect(t.Context(), plc.Part{ID: "lost"})
			if err != nil || o.Pass || o.Told {
				t.Errorf("a part without a cable: %+v, %v", o, err)
			}
			heard.want(t, "disconnected")
			result := part.Result{Trigger: part.Trigger{Sequence: part.Sequence{Value: 1, Bits: 16}}, Verdict: part.Pass, Reason: part.None}
			if err := l.Answer(t.Context(), result); !errors.Is(err, ErrNoSession) {
				t.Errorf("Answer without a cable: %v", err)
			}
			atRest(t, p)
			cable.Plug()
			for len(heard) > 0 && (<-heard).kind == "disconnected" {
			}
			connectedAgain(t, heard)
			atRest(t, p)
			slow := make(chan plc.Outcome, 1)
			go func() {
				o, _ := p.Inspect(context.Background(), plc.Part{ID: "found"})
				slow <- o
			}()
			trigger := heard.want(t, "triggered").trigger
			if trigger.PartID != "found" || trigger.Sequence.Value != 2 {
				t.Errorf("after the fault: %+v", trigger)
			}
			if err := l.Answer(t.Context(), part.Result{Trigger: trigger, Verdict: part.Pass, Reason: part.None}); err != nil {
				t.Error(err)
			}
			if o := <-slow; !o.Pass {
				t.Errorf("after the fault: %+v", o)
			}
		})
	}
}

// A connection that is accepted and never answered ends with its greeting, so that the link is back within 5 s
// of the end of the fault, whichever of an attempt's connections it met.
func TestSwallowedConnections(t *testing.T) {
	for spared, name := range []string{"from discovery on", "from the session on"} {
		for _, lasts := range []time.Duration{time.Second, 2300 * time.Millisecond} {
			t.Run(name+" for "+lasts.String(), func(t *testing.T) {
				p := startPLC(t, plc.Config{IgnoreWatchdog: true, ResultLimit: patience})
				cable, err := plc.NewCable(p.Address())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { cable.Close() })
				cfg := configFor(p)
				cfg.Endpoint = "opc.tcp://" + cable.Address()
				_, heard, stop := runLinkWithin(t, cfg, usual())
				t.Cleanup(stop)
				heard.want(t, "connected")
				cable.Cut()
				cable.Swallow(spared)
				time.Sleep(lasts)
				cable.Plug()
				over := time.Now()
				connectedAgain(t, heard)
				if took := time.Since(over); took > 5*time.Second {
					t.Errorf("connected again after %s", took)
				}
				atRest(t, p)
			})
		}
	}
}

// connectedAgain waits for a new session, past the failures on the way to it.
func connectedAgain(t *testing.T, heard ear) {
	t.Helper()
	for {
		switch got := heard.next(t); got.kind {
		case "connected":
			return
		case "disconnected":
		default:
			t.Fatalf("heard %q, want connected", got)
		}
	}
}

// The PLC refuses one of the data: the result must not become valid, and the session is rebuilt.
func TestNoValidityWithoutData(t *testing.T) {
	var written writes
	p := startPLC(t, plc.Config{OnWrite: written.add, IgnoreWatchdog: true, ResultLimit: patience})
	for _, key := range []string{"accept", "reject", "result_seq", "result_part_id", "result_code", "score"} {
		t.Run(key, func(t *testing.T) {
			p.Withdraw()
			l, heard := startLink(t, configFor(p))
			heard.want(t, "connected")
			written.take()
			p.Refuse(key, ua.StatusBadNotWritable)
			p.Present(plc.Part{})
			trigger := heard.want(t, "triggered").trigger
			err := l.Answer(t.Context(), part.Result{Trigger: trigger, Verdict: part.Pass, Reason: part.None})
			if want := "write the result: plc.tags." + key + ": the PLC refuses the value (BadNotWritable)"; err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if part.ReasonOf(err, part.Unknown) != part.LinkLost {
				t.Error("the failure does not carry its reason")
			}
			heard.want(t, "disconnected")
			p.Refuse(key, ua.StatusOK)
			connectedAgain(t, heard)
			for _, w := range written.take() {
				if strings.Contains(w, "result_valid=true") {
					t.Errorf("the PLC saw %q", w)
				}
			}
			if o := p.Tag("part_present"); o != true {
				t.Error("the PLC took a result that was not valid")
			}
			atRest(t, p)
		})
	}
}

// A write that the PLC carries out after linectl has given up on it.
func TestLateWrite(t *testing.T) {
	p := startPLC(t, plc.Config{IgnoreWatchdog: true, ResultLimit: patience})
	l, heard := startLink(t, configFor(p))
	heard.want(t, "connected")
	p.Present(plc.Part{})
	trigger := heard.want(t, "triggered").trigger
	p.DelayWrites(300 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := l.Answer(ctx, part.Result{Trigger: trigger, Verdict: part.Pass, Reason: part.None}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Answer: %v", err)
	}
	p.DelayWrites(0)
	heard.want(t, "disconnected")
	connectedAgain(t, heard)
	until(t, "safe outputs", func() bool { return p.Tag("accept") == false && p.Tag("reject") == true })
	if p.Tag("part_present") != true {
		t.Error("the PLC took the late data for a result")
	}
	atRest(t, p)
}

// A pass does not become valid where the PLC would carry that out after the cycle; what it was told is made safe.
func TestNoTimeForValidity(t *testing.T) {
	const slow = time.Second
	var written writes
	p := startPLC(t, plc.Config{OnWrite: written.add, IgnoreWatchdog: true, ResultLimit: patience})
	l, heard := calmLink(t, configFor(p))
	heard.want(t, "connected")
	p.Present(plc.Part{})
	trigger := heard.want(t, "triggered").trigger
	written.take()
	l.session.Load().rounds = slow
	p.DelayWrites(slow)
	ctx, cancel := context.WithTimeout(t.Context(), slow+slow/2)
	defer cancel()
	if err := l.Answer(ctx, part.Result{Trigger: trigger, Verdict: part.Pass, Reason: part.None}); !errors.Is(err, errNoTime) || part.ReasonOf(err, part.Unknown) != part.LinkLost {
		t.Errorf("Answer: %v", err)
	}
	heard.want(t, "disconnected")
	p.DelayWrites(0)
	connectedAgain(t, heard)
	for _, w := range written.take() {
		if strings.Contains(w, "result_valid=true") {
			t.Errorf("the PLC saw %q", w)
		}
	}
	atRest(t, p)
}

// An answer whose time is over before its turn came sends nothing and breaks nothing.
func TestAnswerTooLateToBegin(t *testing.T) {
	p := startPLC(t, plc.Config{})
	l, heard := startLink(t, configFor(p))
	heard.want(t, "connected")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Answer(ctx, part.Result{Verdict: part.Pass}); !errors.Is(err, context.Canceled) || !errors.Is(err, part.ErrNotSent) {
		t.Errorf("Answer: %v", err)
	}
	heard.silent(t)
	atRest(t, p)
}

func TestSilentPLC(t *testing.T) {
	p := startPLC(t, plc.Config{IgnoreWatchdog: true, ResultLimit: patience})
	l, heard := startLink(t, configFor(p))
	heard.want(t, "connected")
	p.DelayReads(400 * time.Millisecond) // each answer comes after linectl has stopped waiting for it
	heard.want(t, "disconnected: the PLC did not answer 3 times, for 250ms each")
	p.DelayReads(0)
	recovered(t, p, l, heard)
}

// A part whose names the PLC does not tell has been seen all the same: its time runs, three times are silence, and
// what is gone by then is no part.
func TestNamesTakeLong(t *testing.T) {
	p := startPLC(t, plc.Config{})
	s := sessionOf(t, configFor(p))
	w := newWatch(sample{sequence: part.Sequence{Bits: 16}}, false, time.Hour)
	heard := make(ear, 10)
	p.Present(plc.Part{ID: "A7"})
	first := time.Now()
	at := first
	see := func(within time.Duration) error {
		s.limits.read = within
		defer func() { at = at.Add(time.Second) }()
		return s.tell(t.Context(), &w, sample{present: true, sequence: part.Sequence{Value: 1, Bits: 16}, at: at}, heard)
	}
	for range 2 {
		if err := see(time.Nanosecond); err != nil {
			t.Fatal(err)
		}
	}
	if err := see(patience); err != nil {
		t.Fatal(err)
	}
	if got := heard.want(t, "triggered").trigger; got.PartID != "A7" || got.SeenAt != first {
		t.Errorf("%+v, seen %s late", got, got.SeenAt.Sub(first))
	}

	w = newWatch(sample{sequence: part.Sequence{Bits: 16}}, false, time.Hour)
	p.Withdraw()
	if err := see(patience); err != nil || len(heard) > 0 {
		t.Errorf("a part that is gone: %v, %d heard", err, len(heard))
	}
	for range 2 {
		if err := see(time.Nanosecond); err != nil {
			t.Fatal(err)
		}
	}
	if err := see(time.Nanosecond); outage(err, Failed) != Silent {
		t.Errorf("the names were not told three times: %v", err)
	}
}

// Without a counter nothing tells later of a part that was gone before its names were read: it is told at once, without
// names, and so is the next.
func TestGoneBeforeItsNames(t *testing.T) {
	p := startPLC(t, plc.Config{Tags: map[string]any{"result_seq": nil}})
	cfg := configFor(p)
	cfg.Profile = Minimal
	cfg.Tags.TriggerSeq, cfg.Tags.ResultSeq = "", ""
	s := sessionOf(t, cfg)
	w := newWatch(sample{}, false, time.Hour)
	heard := make(ear, 10)
	for range 2 {
		at := time.Now()
		if err := s.tell(t.Context(), &w, sample{present: true, at: at}, heard); err != nil {
			t.Fatal(err)
		}
		if got := heard.want(t, "triggered").trigger; got != (part.Trigger{SeenAt: at}) {
			t.Errorf("%+v", got)
		}
		heard.want(t, "withdrawn")
	}
}

func TestDoubtfulInputIsNeverFalse(t *testing.T) {
	p := startPLC(t, plc.Config{})
	for _, c := range []struct {
		name, want string
		happen     func(*plc.PLC)
	}{
		{"bad quality", "disconnected: read the trigger: plc.tags.part_present: its quality is BadSensorFailure",
			func(p *plc.PLC) { p.Spoil("part_present", ua.StatusBadSensorFailure) }},
		{"uncertain quality", "disconnected: read the trigger: plc.tags.trigger_seq: its quality is UncertainLastUsableValue",
			func(p *plc.PLC) { p.Spoil("trigger_seq", ua.StatusUncertainLastUsableValue) }},
		{"another type", "disconnected: read the trigger: plc.tags.part_present: it was Boolean and is now Int16",
			func(p *plc.PLC) { p.Set("part_present", int16(0)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.Withdraw()
			p.Spoil("part_present", ua.StatusOK)
			p.Spoil("trigger_seq", ua.StatusOK)
			_, heard := startLink(t, configFor(p))
			heard.want(t, "connected")
			p.Present(plc.Part{})
			heard.want(t, "triggered")
			c.happen(p)
			heard.want(t, c.want) // and no "withdrawn"
			heard.want(t, "disconnected")
		})
	}
}

func TestGoodQualityWithInformation(t *testing.T) {
	p := startPLC(t, plc.Config{})
	_, heard := startLink(t, configFor(p))
	heard.want(t, "connected")
	p.Spoil("part_present", ua.StatusCode(0x480)) // Good, with "overflow"
	p.Present(plc.Part{})
	heard.want(t, "triggered")
}

func TestPLCWithoutRegisterNodes(t *testing.T) {
	p := startPLC(t, plc.Config{NoRegister: true, IgnoreWatchdog: true, ResultLimit: patience})
	l, heard := startLink(t, configFor(p))
	recovered(t, p, l, heard)
	heard.silent(t)
}

// A daemon that starts before the PLC.
func TestPLCAbsentAtStart(t *testing.T) {
	gone, err := plc.Start(plc.Config{Folder: certificates})
	if err != nil {
		t.Fatal(err)
	}
	closePLC(t, gone)
	l, heard := startLink(t, configFor(gone))
	got := heard.want(t, "disconnected")
	if want := "nothing listens at " + gone.Endpoint(); !strings.HasPrefix(got.err.Error(), want) {
		t.Errorf("heard %q, want %q", got.err, want)
	}
	heard.silent(t) // the same failure again is no news
	p := startPLC(t, plc.Config{Address: gone.Address(), IgnoreWatchdog: true, ResultLimit: patience})
	recovered(t, p, l, heard)
}

// Whatever listens at the PLC's address, the link says so and stays alive.
func TestGarbagePeer(t *testing.T) {
	p := startPLC(t, plc.Config{})
	for _, c := range []struct {
		name, want string
		serve      func(net.Conn)
	}{
		{"closes at once", "what listens at ", func(c net.Conn) {}},
		{"says nothing", "no answer from ", func(c net.Conn) { c.Read(make([]byte, 1)); time.Sleep(3 * time.Second) }},
		{"speaks HTTP", "what listens at ", func(c net.Conn) {
			c.Read(make([]byte, 1))
			c.Write([]byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))
		}},
		{"answers nonsense", "what listens at ", func(c net.Conn) {
			c.Read(make([]byte, 1))
			c.Write([]byte("ACKF\x1c\x00\x00\x00" + strings.Repeat("\xff", 20) + strings.Repeat("\x00", 4096)))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go func() { defer conn.Close(); c.serve(conn) }()
				}
			}()
			cfg := configFor(p)
			cfg.Endpoint = "opc.tcp://" + l.Addr().String()
			_, heard := startLink(t, cfg)
			got := heard.want(t, "disconnected")
			if !strings.HasPrefix(got.err.Error(), c.want) {
				t.Errorf("heard %q, want %q", got.err, c.want)
			}
		})
	}
}

// A failure that repeats itself reads the same each time, or the log would fill.
func TestSameFailureReadsTheSame(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := "opc.tcp://" + l.Addr().String()
	l.Close()
	cfg := goodConfig()
	cfg.Endpoint = endpoint
	want := "nothing listens at " + endpoint + ": dial: connect: connection refused"
	for range 2 {
		if _, err := Fetch(t.Context(), cfg); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}
