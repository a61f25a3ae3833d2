package opcua

import (
	"context"
	"strings"
	"testing"
	"time"

	"linectl/internal/sim/plc"
)

func (r Report) tag(key string) TagReport {
	for _, t := range r.Tags {
		if t.Key == key {
			return t
		}
	}
	return TagReport{}
}

// From nothing but an address and a pinned certificate, a probe finds every tag by its name.
func TestProbeFindsTheTags(t *testing.T) {
	p := startPLC(t, plc.Config{})
	cfg := configFor(p)
	cfg.Tags = Tags{}
	report, err := Probe(t.Context(), cfg, certificates)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Offers) != 1 || report.Offers[0].Policy != "Basic256Sha256" || report.Offers[0].Mode != "SignAndEncrypt" || report.Offers[0].SHA256 == "" {
		t.Errorf("endpoints: %+v", report.Offers)
	}
	for sig := range signals {
		tag := report.tag(table[sig].key)
		if !tag.Found || tag.Wrong != "" || tag.Node != p.Tags()[table[sig].key] {
			t.Errorf("%+v", tag)
		}
		if want := map[bool]string{false: "read", true: "read, write"}[table[sig].output]; tag.Rights != want {
			t.Errorf("%s: rights %q, want %q", tag.Key, tag.Rights, want)
		}
	}
	if !strings.Contains(report.Section, "profile = \"full\"") || !strings.Contains(report.Section, "# only where part_present falls early: result_ack") {
		t.Errorf("section:\n%s", report.Section)
	}
	if len(report.Rounds) != probeRounds && report.Round(100)*probeRounds < probeTime/2 || report.Round(50) <= 0 || report.Round(50) > report.Round(99) {
		t.Errorf("%d readings, p50 %s, p99 %s", len(report.Rounds), report.Round(50), report.Round(99))
	}
	if !report.ClockKnown || report.Clock.Abs() > patience {
		t.Errorf("clock: %v %s", report.ClockKnown, report.Clock)
	}
	if report.Refused != "" || report.Publishing != 10*time.Millisecond || report.Sampling != 10*time.Millisecond || len(report.Gaps) == 0 {
		t.Errorf("subscription: %q, every %s, sampled every %s, %d gaps", report.Refused, report.Publishing, report.Sampling, len(report.Gaps))
	}
	atRest(t, p)
}

func TestNearestNames(t *testing.T) {
	p := startPLC(t, plc.Config{Tags: map[string]any{"lot": nil}})
	cfg := configFor(p)
	cfg.Tags.TriggerSeq = strings.Replace(cfg.Tags.TriggerSeq, "TriggerSeq", "TrigerSeq", 1)
	cfg.Tags.Lot = `nsu=` + plc.Namespace + `;s="Inspect"."Charge"`
	right := p.Tags()["trigger_seq"]
	want := "does not exist on the PLC; there is " + right
	err := Check(t.Context(), cfg, certificates, 0)
	if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"Charge": does not exist on the PLC`) {
		t.Errorf("check: %v", err)
	}
	report, err := Probe(t.Context(), cfg, certificates)
	if err != nil {
		t.Fatal(err)
	}
	if tag := report.tag("trigger_seq"); tag.Wrong != want || tag.Better != right {
		t.Errorf("%+v", tag)
	}
	if tag := report.tag("lot"); tag.Better != "" || tag.Wrong != "does not exist on the PLC" {
		t.Errorf("%+v", tag)
	}
	if !strings.Contains(report.Section, "profile = \"standard\"") || !strings.Contains(report.Section, "trigger_seq      = '"+right+"'") {
		t.Errorf("section:\n%s", report.Section)
	}
}

func TestEdits(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"trigerseq", "triggerseq", 1}, {"größe", "grösse", 2}} {
		if got := edits(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// A stranger learns what is offered, and why it is not let in.
func TestProbeNotTrusted(t *testing.T) {
	p := startPLC(t, plc.Config{})
	cfg := configFor(p)
	cfg.ServerCertificate = t.TempDir() + "/none.der"
	report, err := Probe(t.Context(), cfg, certificates)
	if err == nil || !strings.Contains(err.Error(), "the PLC's certificate is not there") || len(report.Offers) != 1 {
		t.Errorf("%v, %+v", err, report.Offers)
	}
}

// What a server that nobody here wrote grants where 1 ms is asked for.
func TestProbeForeignServers(t *testing.T) {
	for name, shortest := range map[string]time.Duration{"node": 10 * time.Millisecond, "asyncua": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startForeign(t, name, Standard, 0, "", "")
			p.cfg.Tags = Tags{}
			report, err := Probe(t.Context(), p.cfg, certificates)
			for end := time.Now().Add(patience); outage(err, Failed) == Unreachable && time.Now().Before(end); { // just started, and busy with itself
				report, err = Probe(t.Context(), p.cfg, certificates)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("publishing %s, sampling %s, refused %q, clock %s, p50 %s", report.Publishing, report.Sampling, report.Refused, report.Clock, report.Round(50))
			if report.Refused != "" || report.Publishing < shortest || report.Sampling < shortest {
				t.Errorf("publishing %s, sampling %s, refused %q", report.Publishing, report.Sampling, report.Refused)
			}
			if !strings.Contains(report.Section, "profile = \"standard\"") {
				t.Errorf("section:\n%s", report.Section)
			}
		})
	}
}

func TestWatchTellsChanges(t *testing.T) {
	p := startPLC(t, plc.Config{})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	changes := make(chan Change, 100)
	done := make(chan error, 1)
	go func() { done <- Watch(ctx, configFor(p), certificates, func(c Change) { changes <- c }) }()
	next := func() Change {
		for {
			select {
			case c := <-changes:
				if c.Key != "plc_heartbeat" {
					return c
				}
			case <-time.After(patience):
				t.Fatal("nothing was told")
			}
		}
	}
	for range int(signals) - 2 { // all but result_ack, which is not configured, and the heartbeat
		next()
	}
	p.Set("lot", "L9")
	if c := next(); c.Key != "lot" || c.Value != "L9" {
		t.Errorf("%+v", c)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
