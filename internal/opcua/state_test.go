package opcua

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"linectl/internal/opcua/pki"
	"linectl/internal/sim/plc"
)

// The manual's table of states is the code's.
func TestStatesInTheManual(t *testing.T) {
	manual, err := os.ReadFile("../../docs/plc.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(manual), "## The link's states\n")
	section, _, _ = strings.Cut(section, "\n## ")
	if rows := strings.Count(section, "` | "); rows != len(states) {
		t.Errorf("docs/plc.md has %d states, there are %d", rows, len(states))
	}
	names := map[string]bool{}
	for i := range states {
		s := State(i)
		if s.String() == "" || s.Text() == "" || s.Next() == "" || names[s.String()] {
			t.Errorf("state %d: %q %q %q", i, s, s.Text(), s.Next())
		}
		names[s.String()] = true
		if row := fmt.Sprintf("\n| %d | `%s` | %s | %s |\n", i, s, s.Text(), s.Next()); !strings.Contains(section, row) {
			t.Errorf("docs/plc.md lacks %s", row)
		}
	}
}

// Every way to be without a session ends in the state that says so.
func TestOutages(t *testing.T) {
	other, err := pki.Open(certificates, "other")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want State
		plc  plc.Config
		edit func(*Config)
	}{
		{Unreachable, plc.Config{}, func(c *Config) { c.Endpoint = "opc.tcp://127.0.0.1:1" }},
		{NotOffered, plc.Config{}, func(c *Config) { c.SecurityPolicy = "Aes256_Sha256_RsaPss" }},
		{NotOffered, plc.Config{User: "line", Pass: "secret"}, nil},
		{BadCertificate, plc.Config{Name: "other"}, func(c *Config) { c.ServerCertificate = certificates + "/plc.der" }},
		{NotTrusted, plc.Config{Trusted: [][]byte{other.Certificate}}, nil},
		{WrongTags, plc.Config{Tags: map[string]any{"reject": int16(0)}}, nil},
		{NoFeed, plc.Config{NoSubscription: true}, func(c *Config) { c.Trigger = Subscribing }},
	} {
		t.Run(c.want.String(), func(t *testing.T) {
			p := startPLC(t, c.plc)
			cfg := configFor(p)
			if c.edit != nil {
				c.edit(&cfg)
			}
			err := Check(t.Context(), cfg, certificates, 0)
			if got := outage(err, Failed); got != c.want {
				t.Errorf("%s, want %s: %v", got, c.want, err)
			}
		})
	}
	for want, err := range map[State]error{
		TooSlow:       in(TooSlow, Path{Rounds: 1, Round: time.Second}.Fits(time.Second)),
		NoSessionLeft: peer{}.explainStatus(nil, ua.StatusBadTooManySessions),
		UserRefused:   peer{}.explainStatus(nil, ua.StatusBadUserAccessDenied),
		NotOPCUA:      peer{}.explain(errors.New("nonsense")),
		Failed:        fs.ErrInvalid,
	} {
		if got := outage(err, Failed); got != want {
			t.Errorf("%s, want %s: %v", got, want, err)
		}
	}
	if in(Lost, nil) != nil {
		t.Error("no failure became one")
	}
}

// The status goes through what happens, counts it, and the PLC is told why linectl was away.
func TestLinkStatus(t *testing.T) {
	p := startPLC(t, plc.Config{})
	cfg := configFor(p)
	heard := make(ear, 100)
	l, err := New(cfg, certificates, heard, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l.limits = impatient()
	told := make(chan Status, 100)
	l.Watch(func(s Status) { told <- s })
	stop := start(t, l)
	is := func(want State) Status {
		t.Helper()
		for {
			select {
			case s := <-told:
				if s.State == want {
					if s.Name != want.String() || s.Next == "" {
						t.Errorf("%+v", s)
					}
					return s
				}
			case <-time.After(patience):
				t.Fatalf("never %s", want)
			}
		}
	}
	is(Connecting)
	if s := is(Up); s.Sessions != 1 || len(s.Outages) != 0 || s.Path.Whole() <= cfg.Poll.Std() {
		t.Errorf("%+v", s)
	}
	if got := p.Tag("last_outage"); got != int16(0) {
		t.Errorf("last_outage is %v", got)
	}
	p.StopHeartbeat(true)
	is(Stopped)
	p.StopHeartbeat(false)
	if s := is(Up); s.Outages["program-stopped"] != 1 {
		t.Errorf("%+v", s)
	}
	p.Set("part_present", int16(0))
	if s := is(BadValue); s.Outages["bad-value"] != 1 || !strings.Contains(s.Error, "plc.tags.part_present") {
		t.Errorf("%+v", s)
	}
	p.Set("part_present", false)
	if s := is(Up); s.Sessions != 2 || s.Error != "" || s.Last == 0 {
		t.Errorf("%+v", s)
	}
	if got := p.Tag("last_outage"); got != int16(BadValue) && got != int16(WrongTags) {
		t.Errorf("last_outage is %v", got)
	}
	stop()
	is(Away)
}
