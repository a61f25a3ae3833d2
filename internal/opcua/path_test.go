package opcua

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"linectl/internal/hint"
	"linectl/internal/part"
	"linectl/internal/setting"
	"linectl/internal/sim/plc"
)

func TestPathFits(t *testing.T) {
	cfg := Default()
	polled := cfg.path(5*time.Millisecond, 2*time.Millisecond)
	if polled.Whole() != 13*time.Millisecond {
		t.Errorf("polled: %s", polled.Whole())
	}
	cfg.VerifyWrites = true
	told := cfg.with(Subscribing).path(200*time.Millisecond, 2*time.Millisecond)
	if told.Whole() != 208*time.Millisecond {
		t.Errorf("told: %s", told.Whole())
	}
	if err := told.Fits(209 * time.Millisecond); err != nil {
		t.Error(err)
	}
	err := told.Fits(208 * time.Millisecond)
	const want = "the path to the PLC is too slow: it takes up to 208.0 ms of each part's time (news of the part after up to 200.0 ms, then 4 requests of 2.0 ms), and line.cycle is 208ms"
	if err == nil || err.Error() != want || !strings.HasPrefix(hint.Of(err), "set plc.trigger to poll") {
		t.Errorf("got  %v\nwant %s\nhint %s", err, want, hint.Of(err))
	}
	if err := polled.Fits(time.Millisecond); !strings.HasPrefix(hint.Of(err), "lower plc.poll") {
		t.Errorf("hint %s", hint.Of(err))
	}
}

// A PLC that answers too slowly for the cycle gets no session, and one as soon as it is faster.
func TestSlowPathIsRefused(t *testing.T) {
	p := startPLC(t, plc.Config{IgnoreWatchdog: true, ResultLimit: patience})
	cfg := configFor(p)
	p.DelayReads(120 * time.Millisecond)
	const want = "the path to the PLC is too slow: it takes up to "
	if err := Check(t.Context(), cfg, certificates, 450*time.Millisecond); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("check: %v", err)
	}
	heard := make(ear, 1000)
	l, err := New(cfg, certificates, heard, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l.Within(450 * time.Millisecond)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	defer func() { stop(); <-done }()
	for {
		if got := heard.want(t, "disconnected"); strings.HasPrefix(got.err.Error(), want) {
			break
		}
	}
	heard.silent(t) // the same again, with other figures, is no news
	if p.Tag("ready") != false {
		t.Error("the station is ready")
	}
	p.DelayReads(0)
	connectedAgain(t, heard)
}

// A round trip is one request, however many a PLC wants for what a line reads.
func TestRoundOfSmallPLC(t *testing.T) {
	p := startPLC(t, plc.Config{PerRequest: fewestNodes, IgnoreWatchdog: true, ResultLimit: patience})
	p.DelayReads(200 * time.Millisecond)
	l, heard := calmLink(t, configFor(p))
	heard.want(t, "connected")
	if round := l.Status().Path.Round; round < 200*time.Millisecond || round >= 400*time.Millisecond {
		t.Errorf("one round takes %s", round)
	}
}

// A PLC without subscriptions: that is said, with what to do.
func TestNoSubscription(t *testing.T) {
	p := startPLC(t, plc.Config{NoSubscription: true})
	cfg := configFor(p)
	cfg.Trigger = Subscribing
	err := Check(t.Context(), cfg, certificates, 0)
	if err == nil || !strings.HasPrefix(err.Error(), "subscribe to the trigger: ") || !strings.HasPrefix(hint.Of(err), "set plc.trigger to poll") {
		t.Errorf("%v\nhint %s", err, hint.Of(err))
	}
	noneLeft(t)
}

// What is granted is read back, not what was asked for, and holds what it promises.
func TestRevisedIntervals(t *testing.T) {
	p := startPLC(t, plc.Config{Shortest: 100 * time.Millisecond, IgnoreWatchdog: true, ResultLimit: patience})
	cfg := configFor(p)
	cfg.Trigger = Subscribing // every 5 ms, it asks
	if err := Check(t.Context(), cfg, certificates, 150*time.Millisecond); outage(err, Failed) != TooSlow || !strings.Contains(err.Error(), "news of the part after up to 200.0 ms") {
		t.Errorf("check: %v", err)
	}
	l, heard := startLink(t, cfg)
	recovered(t, p, l, heard)
	if path := l.Status().Path; path.Trigger != Subscribing || path.Wait != 200*time.Millisecond {
		t.Errorf("%+v", path)
	}
	report, err := Probe(t.Context(), cfg, certificates)
	if err != nil || report.Publishing != 100*time.Millisecond || report.Sampling != 100*time.Millisecond {
		t.Errorf("%s, %s, %v", report.Publishing, report.Sampling, err)
	}
}

// A server whose subscriptions fall silent while everything else goes on: the session ends, the station is not
// ready, and there is none until they tell again.
func TestMutedSubscription(t *testing.T) {
	for name, begin := range map[string]func(*plc.PLC){
		"muted":   func(p *plc.PLC) { p.Mute(true) },
		"dropped": func(p *plc.PLC) { p.Mute(true); p.DropSubscriptions() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startPLC(t, plc.Config{IgnoreWatchdog: true, ResultLimit: patience})
			cfg := configFor(p)
			cfg.Trigger, cfg.Stale = Subscribing, setting.Duration(600*time.Millisecond)
			l, heard, stop := runLinkWithin(t, cfg, impatient())
			t.Cleanup(stop)
			recovered(t, p, l, heard)
			begin(p)
			got := heard.next(t)
			for got.kind == "stale" { // plc_heartbeat came by the same way
				got = heard.next(t)
			}
			if got.kind != "disconnected" || outage(got.err, Failed) != Silent {
				t.Fatalf("heard %q", got)
			}
			for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				if state := l.Status().State; state == Up {
					t.Fatal("a session with a subscription that tells nothing counts as up")
				}
			}
			p.Mute(false)
			connectedAgain(t, heard)
			if o := inspect(t, p, l, heard, part.Pass); !o.Pass {
				t.Errorf("a good part: %+v", o)
			}
		})
	}
}

// A subscription whose granted intervals are longer than the cycle is refused, with what was granted.
func TestSlowSubscriptionIsRefused(t *testing.T) {
	p := startForeign(t, "node", Standard, 0, "", "")
	p.cfg.Trigger, p.cfg.Poll, p.cfg.Stale = Subscribing, setting.Duration(200*time.Millisecond), setting.Duration(2*time.Second)
	err := p.check(t, 350*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "news of the part after up to 400.0 ms") {
		t.Errorf("%v", err)
	}
	noneLeft(t)
}

// What a feed may bring that is no news of the part.
func TestFeedOfABadPeer(t *testing.T) {
	s := newSession(goodConfig(), usual())
	s.ids[partPresent], s.types[partPresent] = ua.NewNumericNodeID(1, 1), ua.TypeIDBoolean
	data := func(handle uint32, v *ua.DataValue) *opcua.PublishNotificationData {
		return &opcua.PublishNotificationData{Value: &ua.DataChangeNotification{MonitoredItems: []*ua.MonitoredItemNotification{{ClientHandle: handle, Value: v}, nil}}}
	}
	value := func(v any) *ua.DataValue { return &ua.DataValue{Value: ua.MustVariant(v)} }
	for _, c := range []struct {
		name, want string
		n          *opcua.PublishNotificationData
	}{
		{"the part", "", data(uint32(partPresent), value(true))},
		{"the clock", "", data(clockHandle, value(time.Now()))},
		{"a keep-alive", "", &opcua.PublishNotificationData{}},
		{"a number out of range", "", data(1<<31, value(true))},
		{"another tag", "the PLC told of a tag that nobody asked for", data(uint32(lot), value("x"))},
		{"no value", "the PLC told of a tag that nobody asked for, or nothing of one", data(uint32(partPresent), nil)},
		{"a null", "plc.tags.part_present: it has no value", data(uint32(partPresent), &ua.DataValue{})},
		{"another type", "plc.tags.part_present: it was Boolean and is now Int16", data(uint32(partPresent), value(int16(1)))},
		{"bad quality", "plc.tags.part_present: its quality is BadSensorFailure", data(uint32(partPresent), &ua.DataValue{Status: ua.StatusBadSensorFailure, Value: ua.MustVariant(true)})},
		{"its end", "the PLC ended the subscription (BadTimeout)", &opcua.PublishNotificationData{Value: &ua.StatusChangeNotification{Status: ua.StatusBadTimeout}}},
		{"an error", "lost", &opcua.PublishNotificationData{Error: errors.New("lost")}},
	} {
		var now values
		err := s.take(c.n, &now)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if got := now.is(partPresent); got != (c.name == "the part") {
			t.Errorf("%s: part_present is %v", c.name, got)
		}
	}
}
