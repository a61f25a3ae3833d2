package conveyor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"linectl/internal/opcua"
	"linectl/internal/opcua/pki/pkitest"
	"linectl/internal/part"
	"linectl/internal/setting"
	"linectl/internal/sim/plc"
)

var certificates string

func TestMain(m *testing.M) {
	os.Exit(pkitest.Main(m, &certificates, "plc", "plc-renewed", opcua.Name))
}

// station is linectl as far as the PLC can tell: it passes every part, a little later.
type station struct {
	link  *opcua.Link
	takes time.Duration
	work  sync.WaitGroup
}

func (s *station) Connected(part.Snapshot) {}
func (s *station) Disconnected(error)      {}
func (s *station) Stale(bool)              {}
func (s *station) Withdrawn() {
	s.work.Go(func() { _ = s.link.Clear(context.Background()) })
}

func (s *station) Triggered(t part.Trigger) {
	s.work.Go(func() {
		time.Sleep(s.takes)
		_ = s.link.Answer(context.Background(), part.Result{Trigger: t, Verdict: part.Pass, Reason: part.None, Score: 0.5})
	})
}

// connect lets a station work with the line until the test ends.
func connect(t *testing.T, l *Line, source opcua.Source) {
	t.Helper()
	cfg := opcua.Default()
	var section struct {
		PLC struct {
			Endpoint string
			Tags     opcua.Tags
		}
	}
	if err := toml.Unmarshal([]byte(l.PLC().Section()), &section); err != nil {
		t.Fatal(err)
	}
	cfg.Trigger = source
	cfg.Endpoint, cfg.Tags, cfg.Profile = section.PLC.Endpoint, section.PLC.Tags, opcua.Full
	cfg.ServerCertificate = l.PLC().CertificateFile()
	s := &station{takes: 20 * time.Millisecond}
	var err error
	if s.link, err = opcua.New(cfg, certificates, s, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { _ = s.link.Run(ctx) })
	work.Go(func() {
		for beat := uint16(1); ctx.Err() == nil; beat++ {
			_ = s.link.Report(ctx, part.Status{Ready: true, Heartbeat: beat})
			time.Sleep(50 * time.Millisecond)
		}
	})
	t.Cleanup(func() { stop(); work.Wait(); s.work.Wait() })
}

// patience is for machines that are busy with something else.
const patience = time.Minute

// run lets parts come until the fault was on and is over and two parts passed after it, and gives the log.
func run(t *testing.T, fault Fault) []Event {
	t.Helper()
	if problems := fault.problems(); problems != nil {
		t.Fatal(problems)
	}
	var mu sync.Mutex
	var events []Event
	begun := time.Now()
	state := func() (before, after int, over bool) {
		mu.Lock()
		defer mu.Unlock()
		on := false
		for _, e := range events {
			switch {
			case e.Kind == FaultOn:
				on = true
				over = kinds[fault.Do].slip != nil
			case e.Kind == FaultOver:
				over = true
			case e.Part != nil && e.Part.Pass && !on:
				before++
			case e.Part != nil && e.Part.Pass && over:
				after++
			}
		}
		return before, after, over
	}
	n := 0
	var l *Line
	l, err := Start(Config{
		PLC:    plc.Config{Folder: certificates, ResultLimit: 400 * time.Millisecond},
		Script: []Fault{fault},
		Items: func() (Item, bool) {
			before, after, _ := state()
			if n == 3 && before < 3 { // not connected yet: the fault would hit nothing
				n = 0
			}
			n++
			if time.Since(begun) > patience {
				t.Error("it did not recover")
				return Item{}, false
			}
			return Item{Part: plc.Part{ID: fmt.Sprint("P", n)}, Gap: 20 * time.Millisecond}, after < 3
		},
		Report: func(e Event) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, e)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	source := opcua.Polling
	if fault.Do == "mute-subscriptions" {
		source = opcua.Subscribing
	}
	connect(t, l, source)
	for until := time.Now().Add(patience); l.PLC().Tag("ready") != true; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("no session")
		}
	}
	if _, err := l.Run(t.Context()); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	return events
}

// Every fault does what its name says, and ends: parts pass again.
func TestFaults(t *testing.T) {
	ms := func(n int) setting.Duration { return setting.Duration(time.Duration(n) * time.Millisecond) }
	sessions := func(events []Event) (n int) {
		for _, e := range events {
			if e.Kind == Session {
				n++
			}
		}
		return n
	}
	hit := func(events []Event) Seen { // the part with which the fault began
		on := false
		for _, e := range events {
			on = on || e.Kind == FaultOn
			if on && e.Part != nil {
				return *e.Part
			}
		}
		return Seen{}
	}
	again := func(t *testing.T, events []Event) { // it took a new session
		if sessions(events) < 2 {
			t.Error("the session went on")
		}
	}
	silent := func(t *testing.T, events []Event) {
		if s := hit(events); s.Pass || s.Told {
			t.Errorf("there was a result: %+v", s)
		}
	}
	passed := func(t *testing.T, events []Event) {
		if s := hit(events); !s.Pass {
			t.Errorf("it did not pass: %+v", s)
		}
	}
	for _, c := range []struct {
		fault Fault
		check []func(*testing.T, []Event)
	}{
		{Fault{Do: "restart", For: ms(300)}, []func(*testing.T, []Event){again}},
		{Fault{Do: "restart", For: ms(300), Cold: true}, []func(*testing.T, []Event){again, func(t *testing.T, events []Event) {
			if s := hit(events); s.Seq != 1 {
				t.Errorf("the counter went on with %d", s.Seq)
			}
		}}},
		{Fault{Do: "restart", For: ms(300), After: ms(5)}, []func(*testing.T, []Event){again, silent}},
		{Fault{Do: "new-certificate", For: ms(1000)}, []func(*testing.T, []Event){again, silent}},
		{Fault{Do: "stop", For: ms(300)}, nil},
		{Fault{Do: "hang", For: ms(1200)}, []func(*testing.T, []Event){silent}},
		{Fault{Do: "slow", For: ms(600), By: ms(40)}, []func(*testing.T, []Event){func(t *testing.T, events []Event) {
			if s := hit(events); s.Latency < 80 {
				t.Errorf("it took %g ms only", s.Latency)
			}
		}}},
		{Fault{Do: "revoke", For: ms(1000)}, []func(*testing.T, []Event){again, silent}},
		{Fault{Do: "wrong-type", For: ms(1000), Tag: "result_code"}, []func(*testing.T, []Event){again, silent}},
		{Fault{Do: "lost-tag", For: ms(1000), Tag: "accept"}, []func(*testing.T, []Event){again, silent}},
		{Fault{Do: "clock-jump", For: ms(300), By: setting.Duration(-time.Hour)}, []func(*testing.T, []Event){passed}},
		{Fault{Do: "mute-subscriptions", For: ms(2500)}, []func(*testing.T, []Event){again, silent}},
		{Fault{Do: "repeated-sequence"}, []func(*testing.T, []Event){silent}},
		{Fault{Do: "skipped-sequence", Values: 3}, []func(*testing.T, []Event){passed, func(t *testing.T, events []Event) {
			var before uint32
			for _, e := range events {
				if e.Kind == FaultOn {
					break
				}
				if e.Part != nil {
					before = e.Part.Seq
				}
			}
			if s := hit(events); s.Seq != before+4 {
				t.Errorf("the counter went from %d to %d", before, s.Seq)
			}
		}}},
		{Fault{Do: "trigger-while-busy", After: ms(1)}, []func(*testing.T, []Event){silent}},
		{Fault{Do: "early-withdrawal", After: ms(1)}, []func(*testing.T, []Event){silent}},
		{Fault{Do: "lost-acknowledgment", For: ms(100)}, []func(*testing.T, []Event){passed}},
	} { // those that must be silent last longer than the PLC waits: for the last result to go and for the next
		c.fault.Part = 4
		t.Run(c.fault.String(), func(t *testing.T) {
			t.Parallel()
			events := run(t, c.fault)
			for _, check := range c.check {
				check(t, events)
			}
			if t.Failed() {
				for _, e := range events {
					text, _ := json.Marshal(e)
					t.Log(string(text))
				}
			}
		})
	}
}

// The same seed brings the same parts at the same distances, and the same faults.
func TestSeed(t *testing.T) {
	belt := Belt{Rate: 60, Jitter: 0.5, Seed: 7, Lot: "L", LotSize: 2}
	one, two := belt.Items(), belt.Items()
	belt.Seed = 8
	other := belt.Items()
	differs := false
	for n := range 100 {
		a, _ := one()
		b, _ := two()
		c, _ := other()
		if a != b {
			t.Fatalf("part %d: %+v and %+v", n, a, b)
		}
		if n > 0 && (a.Gap < time.Second/2 || a.Gap > 3*time.Second/2) {
			t.Errorf("part %d comes %s after the one before", n, a.Gap)
		}
		if want := fmt.Sprintf("L%04d", n/2+1); a.Part.Lot != want {
			t.Errorf("part %d is of lot %q, want %q", n, a.Part.Lot, want)
		}
		differs = differs || a.Gap != c.Gap
	}
	if !differs {
		t.Error("another seed makes no difference")
	}
}

func TestScript(t *testing.T) {
	script, err := parseScript([]byte(`
[[fault]]
do = "slow"
every = 10
for = "2s"
by = "50ms"

[[fault]]
do = "lost-tag"
chance = 0.1
tag = "accept"
after = "10ms"
for = "1s"
`))
	if err != nil || len(script) != 2 || script[0].String() != "slow by 50ms for 2s" || script[1].String() != "lost-tag accept after 10ms for 1s" {
		t.Errorf("%v, %v", script, err)
	}
	for text, want := range map[string]string{
		``:                                 "holds no [[fault]]",
		"[[fault]]\ndo = \"slow\"\nif = 1": "line 3, column 1: there is no key fault.if",
		"[[fault]]\ndo = 1":                "line 2, column",
		"[[fault]\n":                       "line 1, column",
		"[[fault]]\ndo=\"flood\"\npart=1":  `fault 1: do: there is no fault "flood"; choose one of clock-jump, early-withdrawal, hang,`,
		"[[fault]]\ndo=\"hang\"\npart=1\nby=\"1s\"":                 "fault 1: by: means nothing to hang\nfault 1: for: is missing; hang needs it",
		"[[fault]]\ndo=\"hang\"\nfor=\"1s\"":                        "fault 1: exactly one of part (from 1), every (from 1) and chance (above 0, up to 1) says when",
		"[[fault]]\ndo=\"hang\"\nfor=\"1s\"\npart=1\nchance=0.5":    "exactly one of",
		"[[fault]]\ndo=\"hang\"\nfor=\"-1s\"\npart=1":               "for: -1s is out of range",
		"[[fault]]\ndo=\"lost-tag\"\nfor=\"1s\"\npart=1\ntag=\"x\"": `tag: there is no tag "x"; choose one of accept,`,
	} {
		if _, err := parseScript([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := ReadScript(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there")
	}
}

func FuzzScript(f *testing.F) {
	f.Add([]byte("[[fault]]\ndo = \"hang\"\npart = 1\nfor = \"1s\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		script, err := parseScript(text)
		for _, fault := range script {
			if err == nil && (fault.For < 0 || fault.For.Std() > longest || kinds[fault.Do].needs != nil && fault.String() == fault.Do) {
				t.Errorf("%+v", fault)
			}
		}
	})
}

// A log brings its parts again: the names, the gaps, what the counter left out, and what was told.
func TestReplay(t *testing.T) {
	at := time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)
	var log bytes.Buffer
	encoder := json.NewEncoder(&log)
	for _, e := range []Event{
		{At: at, Kind: Started, Text: "x"},
		{At: at, Kind: PartSeen, Part: &Seen{ID: "A", Lot: "L", Recipe: "R", UserData: "U", Seq: 65534, Bits: 16, Told: true, Pass: true}},
		{At: at.Add(2 * time.Second), Kind: PartSeen, Part: &Seen{ID: "B", Seq: 1, Bits: 16}},
		{At: at.Add(time.Hour), Kind: PartSeen, Part: &Seen{ID: "C", Seq: 0, Bits: 16}}, // the counter began anew
	} {
		if err := encoder.Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	recorded, err := ReadLog(&log)
	if err != nil {
		t.Fatal(err)
	}
	items := Replay(recorded, 2)
	want := []Item{
		{Part: plc.Part{ID: "A", Lot: "L", Recipe: "R", UserData: "U"}, Was: "pass"},
		{Part: plc.Part{ID: "B"}, Gap: time.Second, Missed: 2, Was: "reject"},
		{Part: plc.Part{ID: "C"}, Gap: 30 * time.Second, Was: "reject"},
	}
	if fmt.Sprint(items) != fmt.Sprint(want) {
		t.Errorf("%+v\nwant %+v", items, want)
	}
	if _, err := ReadLog(strings.NewReader("{\n")); err == nil || !strings.HasPrefix(err.Error(), "line 1: ") {
		t.Errorf("a broken line: %v", err)
	}
}
