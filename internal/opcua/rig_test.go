package opcua

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"linectl/internal/opcua/pki/pkitest"
	"linectl/internal/part"
	"linectl/internal/sim/plc"
)

// certificates is the folder with linectl's and the PLC's certificates, made once: RSA keys take time.
var certificates string

func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "16") // the parallel tests are those that wait most of the time
	os.Exit(pkitest.Main(m, &certificates, Name, "plc", "other"))
}

// event is a call of the Listener.
type event struct {
	kind     string // connected, disconnected, triggered, withdrawn, stale, fresh
	snapshot part.Snapshot
	trigger  part.Trigger
	err      error
}

func (e event) String() string {
	switch e.kind {
	case "triggered":
		return "triggered " + e.trigger.Sequence.String()
	case "disconnected":
		return "disconnected: " + e.err.Error()
	}
	return e.kind
}

// ear is a Listener that passes everything on.
type ear chan event

func (e ear) Connected(s part.Snapshot) { e <- event{kind: "connected", snapshot: s} }
func (e ear) Disconnected(err error)    { e <- event{kind: "disconnected", err: err} }
func (e ear) Triggered(t part.Trigger)  { e <- event{kind: "triggered", trigger: t} }
func (e ear) Withdrawn()                { e <- event{kind: "withdrawn"} }
func (e ear) Stale(stale bool) {
	if stale {
		e <- event{kind: "stale"}
	} else {
		e <- event{kind: "fresh"}
	}
}

// patience is how long a test waits for what must happen; nothing is measured by it.
const patience = 20 * time.Second

// next is what is heard next, but for the PLC's sign of life, which comes with each session.
func (e ear) next(t testing.TB) event {
	t.Helper()
	for {
		if got := e.any(t); got.kind != "fresh" {
			return got
		}
	}
}

func (e ear) any(t testing.TB) event {
	t.Helper()
	select {
	case got := <-e:
		return got
	case <-time.After(patience):
		t.Fatal("nothing was heard")
		return event{}
	}
}

func (e ear) want(t testing.TB, kinds ...string) (last event) {
	t.Helper()
	for _, kind := range kinds {
		if kind == "fresh" {
			last = e.any(t)
		} else {
			last = e.next(t)
		}
		if last.String() != kind && last.kind != kind {
			t.Fatalf("heard %q, want %q", last, kind)
		}
	}
	return last
}

// silent fails if anything is heard within a stretch of many polls.
func (e ear) silent(t testing.TB) {
	t.Helper()
	for end := time.After(100 * time.Millisecond); ; {
		select {
		case got := <-e:
			if got.kind != "fresh" {
				t.Fatalf("heard %q, want nothing", got)
			}
		case <-end:
			return
		}
	}
}

// startPLC starts a PLC with the test's certificates.
func startPLC(t testing.TB, cfg plc.Config) *plc.PLC {
	t.Helper()
	if cfg.Folder == "" {
		cfg.Folder = certificates
	}
	p, err := plc.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closePLC(t, p) })
	return p
}

func closePLC(t testing.TB, p *plc.PLC) {
	t.Helper()
	if err := p.Close(); err != nil {
		t.Errorf("close the PLC: %v", err)
	}
}

// configFor is a full config for a PLC.
func configFor(p *plc.PLC) Config {
	cfg := Default()
	cfg.Endpoint = p.Endpoint()
	cfg.Profile = Full
	cfg.ServerCertificate = p.CertificateFile()
	tags := reflect.ValueOf(&cfg.Tags).Elem()
	ids := p.Tags()
	for i := range tags.NumField() {
		tags.Field(i).SetString(ids[tags.Type().Field(i).Tag.Get("toml")])
	}
	cfg.Tags.ResultAck = ""
	return cfg
}

// insecure starts a PLC without security and gives the config for it.
func insecure(t testing.TB) Config {
	t.Helper()
	cfg := configFor(startPLC(t, plc.Config{Policy: "None", Mode: 1}))
	cfg.SecurityPolicy, cfg.SecurityMode, cfg.Insecure, cfg.ServerCertificate = "None", "None", true, ""
	return cfg
}

// impatient are limits for tests that wait for them to run out.
func impatient() limits {
	l := usual()
	l.connect, l.open, l.request, l.write, l.retry, l.longest = 2*time.Second, 2*time.Second, time.Second, 400*time.Millisecond, 20*time.Millisecond, 100*time.Millisecond
	return l
}

// calm are limits for tests that ask what comes out and not how fast: the machine may be busy with something else.
func calm() limits {
	l := usual()
	l.connect, l.open, l.request, l.read, l.write = patience, patience, patience, patience, patience
	return l
}

// startLink runs a link and tells what it hears. When the test ends, the link must end without an error.
func startLink(t testing.TB, cfg Config) (*Link, ear) {
	t.Helper()
	l, heard, stop := runLink(t, cfg)
	t.Cleanup(stop)
	return l, heard
}

// sessionOf connects without a link, and closes the session when the test ends.
func sessionOf(t testing.TB, cfg Config) *session {
	t.Helper()
	peer, err := know(cfg, certificates)
	if err != nil {
		t.Fatal(err)
	}
	s, err := peer.connect(t.Context(), calm())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

// calmLink is startLink for tests in which nothing is late on purpose.
func calmLink(t testing.TB, cfg Config) (*Link, ear) {
	t.Helper()
	l, heard, stop := runLinkWithin(t, cfg, calm())
	t.Cleanup(stop)
	return l, heard
}

func runLink(t testing.TB, cfg Config) (l *Link, heard ear, stop func()) {
	t.Helper()
	return runLinkWithin(t, cfg, impatient())
}

func runLinkWithin(t testing.TB, cfg Config, limits limits) (l *Link, heard ear, stop func()) {
	t.Helper()
	heard = make(ear, 1000)
	l, err := New(cfg, certificates, heard, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l.limits = limits
	return l, heard, start(t, l)
}

// start runs a link until stop is called.
func start(t testing.TB, l *Link) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	return func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run did not end")
		}
		noneLeft(t)
	}
}

// noneLeft fails if a goroutine of the link's side stays behind.
func noneLeft(t testing.TB) {
	t.Helper()
	var stacks string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		buffer := make([]byte, 1<<20)
		stacks = ""
		for g := range strings.SplitSeq(string(buffer[:runtime.Stack(buffer, true)]), "\n\n") {
			ours := strings.Contains(g, "gopcua/opcua.(*Client)") || strings.Contains(g, "uasc.(*SecureChannel).dispatcher") ||
				strings.Contains(g, "uasc.(*SecureChannel).scheduleRenewal") || strings.Contains(g, "opcua.(*session)")
			if ours && !strings.Contains(g, "noneLeft") {
				stacks += g + "\n\n"
			}
		}
		if stacks == "" {
			return
		}
	}
	t.Errorf("goroutines are left over:\n%s", stacks)
}

// beat keeps linectl's heartbeat going, as the line does.
func beat(t testing.TB, l *Link) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for n := uint16(1); ctx.Err() == nil; n++ {
			_ = l.Report(ctx, part.Status{Ready: true, FaultCode: part.None, Heartbeat: n}) // no session, no beat
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
}

// inspect runs one handshake with the verdict in linectl's place.
func inspect(t testing.TB, p *plc.PLC, l *Link, heard ear, verdict part.Verdict) plc.Outcome {
	t.Helper()
	type answer struct {
		plc.Outcome
		err error
	}
	outcome := make(chan answer, 1)
	go func() {
		o, err := p.Inspect(context.Background(), plc.Part{ID: "P-1", Lot: "L-1", Recipe: "bracket"})
		outcome <- answer{o, err}
	}()
	triggered := heard.want(t, "triggered").trigger
	reason := part.None
	if verdict == part.Reject {
		reason = part.Anomaly
	}
	if err := l.Answer(t.Context(), part.Result{Trigger: triggered, Verdict: verdict, Reason: reason, Score: 0.25}); err != nil {
		t.Fatalf("Answer: %v", err)
	}
	heard.want(t, "withdrawn")
	if err := l.Clear(t.Context()); err != nil {
		t.Fatalf("Clear: %v", err)
	}
	o := <-outcome
	if o.err != nil {
		t.Fatal(o.err)
	}
	return o.Outcome
}

// until waits for a condition that must come true.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// atRest fails unless the PLC's outputs are where they can do no harm.
func atRest(t testing.TB, p *plc.PLC) {
	t.Helper()
	for key, want := range map[string]any{"result_valid": false, "accept": false, "reject": true} {
		if got := p.Tag(key); got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
}
