package opcua

import (
	"context"
	"slices"
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

// A PLC that serves several lines, or keeps inputs and outputs apart, or both: tags of two lines are never mixed.
func TestStations(t *testing.T) {
	at := func(below string, names ...string) (all []Variable) {
		for _, name := range names {
			all = append(all, Variable{name, "nsu=urn:plc;s=" + below + "." + name, below})
		}
		return all
	}
	in, out := []string{"PartPresent", "TriggerSeq"}, []string{"Reject", "ResultValid", "Accept"}
	for _, c := range []struct {
		name       string
		there      [][]Variable
		configured string
		want       []string
		others     []string
	}{
		{"one line", [][]Variable{at("/A", in...), at("/A", out...)}, "", []string{"/A"}, nil},
		{"inputs and outputs apart", [][]Variable{at("/In", in...), at("/Out", out...)}, "", []string{"/In", "/Out"}, nil},
		{"two lines, the first lacks a tag", [][]Variable{at("/A", in...), at("/A", "Reject", "ResultValid"), at("/B", "Reject", "ResultValid"), at("/B", "PartPresent", "Accept")}, "", []string{"/A"}, []string{"/B"}},
		{"two lines, the second is configured", [][]Variable{at("/A", in...), at("/A", out...), at("/B", in...)}, "nsu=urn:plc;s=/B.PartPresent", []string{"/B"}, []string{"/A"}},
		{"two lines, each apart", [][]Variable{at("/A/In", in...), at("/A/Out", "Reject", "ResultValid"), at("/B/In", in...), at("/B/Out", out...)}, "", []string{"/B/In", "/B/Out"}, []string{"/A/Out", "/A/In"}},
		{"two lines, apart in flat blocks", [][]Variable{at("/In1", in...), at("/In2", in...), at("/Out1", out...), at("/Out2", out...)}, "", []string{"/In1", "/Out1"}, []string{"/In2", "/Out2"}},
		{"which inputs go with which outputs is open", [][]Variable{at("/X", in...), at("/Y", in...), at("/Out", out...)}, "", []string{"/Out"}, []string{"/X", "/Y"}},
		{"a name that something else bears, too", [][]Variable{at("/A", in...), at("/A", out...), at("/Motor", "Fault"), at("/Pump", "Fault")}, "", []string{"/A"}, nil},
		{"a configured tag of another name", [][]Variable{at("/A", "bAccept"), at("/A", in...), at("/B", in...), at("/B", out...)}, "nsu=urn:plc;s=/A.bAccept", []string{"/A"}, []string{"/B"}},
		{"nothing", nil, "", nil, nil},
	} {
		ours, others := stations(slices.Concat(c.there...), map[string]bool{c.configured: true})
		var places []string
		for _, v := range ours {
			places = append(places, v.below)
		}
		slices.Sort(places)
		slices.Sort(others)
		slices.Sort(c.others)
		if places = slices.Compact(places); !slices.Equal(places, c.want) || !slices.Equal(others, c.others) {
			t.Errorf("%s: %v, others %v; want %v, others %v", c.name, places, others, c.want, c.others)
		}
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

// A PLC whose clock begins in 1970, and whose server numbers channels and tokens alike: the library alone would not
// understand its answers.
func TestClockYearsBehind(t *testing.T) {
	t.Parallel()
	p := startForeignWith(t, "asyncua", Minimal, 0, "", "", false, 50*365*day)
	_, heard, stop := runLinkWithin(t, p.cfg, usual())
	defer stop()
	connectedAgain(t, heard)
	if report, err := Probe(t.Context(), p.cfg, certificates); err != nil || !strings.Contains(report.Section, "profile = \"minimal\"") {
		t.Errorf("probe: %v\n%s", err, report.Section)
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

// A tag's name from the PLC stays within its line of the section that people paste.
func TestSectionHoldsNames(t *testing.T) {
	text := section(Default(), []TagReport{{Key: "reject", Node: "nsu=urn:a;s=x'\ninsecure = true\x1b[2K"}})
	if want := `reject           = "nsu=urn:a;s=x'\ninsecure = true\x1b[2K"`; !strings.Contains(text, want) {
		t.Errorf("%q is missing in\n%s", want, text)
	}
}
