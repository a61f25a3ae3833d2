package main

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"linectl/internal/hint"
	"linectl/internal/opcua"
	"linectl/internal/sim/plc"
)

// What the daemon said last is shown, unless it is no longer there.
func TestPLCStatus(t *testing.T) {
	sim, err := plc.Start(plc.Config{Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	p, folder := plcProgram(t, sim, "")
	file := filepath.Join(folder, "plc-status.json")
	_, err = plcCommandLine(p, "", "status")
	if err == nil || hint.KindOf(err) != hint.NoMatch {
		t.Errorf("before the daemon ran: %v", err)
	}
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	up := opcua.Status{Name: "up", Next: "nothing", Sessions: 3, Insecure: true, Outages: map[string]int{"silent": 2}, Process: os.Getpid()}
	for _, c := range []struct {
		name   string
		said   func(*opcua.Status)
		shows  []string
		failed string
	}{
		{"up", func(*opcua.Status) {}, []string{"up: a session is up", "INSECURE", "silent 2"}, ""},
		{"too slow", func(s *opcua.Status) { s.State, s.Name, s.Error = opcua.TooSlow, "too-slow", "it takes 2 s" },
			[]string{"too-slow: the path", "it takes 2 s"}, "the link to the PLC is not up: too-slow"},
		{"killed", func(s *opcua.Status) { s.Process = ended.ProcessState.Pid() },
			[]string{"away: linectl does not run", "ended without a word; it said last: up"}, "the link to the PLC is not up: away"},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := up
			c.said(&said)
			k := keepStatus(file, "line", slog.New(slog.DiscardHandler))
			for range 100 {
				k.tell(opcua.Status{State: opcua.Lost})
			}
			k.tell(said)
			k.close()
			out, err := plcCommandLine(p, "", "status")
			if c.failed == "" && err != nil || c.failed != "" && (err == nil || err.Error() != c.failed) {
				t.Errorf("%v, want %s", err, c.failed)
			}
			for _, want := range c.shows {
				if !strings.Contains(out, want) {
					t.Errorf("%q is missing in\n%s", want, out)
				}
			}
		})
	}
	up.Born = "another boot 1" // the number of the process is another's now
	if err := writeStatus(file, up); err != nil {
		t.Fatal(err)
	}
	if out, err := plcCommandLine(p, "", "status"); err == nil || !strings.Contains(out, "away: linectl does not run") {
		t.Errorf("a process of another boot: %v\n%s", err, out)
	}
	for _, damaged := range []string{"", "{}}", `{"code": 99}`, `{"code": -1}`} {
		if err := os.WriteFile(file, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := plcCommandLine(p, "", "status"); hint.KindOf(err) != hint.Damage {
			t.Errorf("%q: %v", damaged, err)
		}
	}
}
