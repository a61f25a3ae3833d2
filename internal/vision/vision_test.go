package vision

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"linectl/internal/line"
	"linectl/internal/opcua/pki"
	"linectl/internal/opcua/pki/pkitest"
	"linectl/internal/part"
	"linectl/internal/setting"
)

var certificates string

func TestMain(m *testing.M) { os.Exit(pkitest.Main(m, &certificates, "linectl", "plc", "stranger")) }

// world is everything around the line but its PLC: a part called bad is bad, one called slow takes too
// long.
type world struct {
	last   part.Sequence // in the record at the start
	mu     sync.Mutex
	partID string
	rows   []part.Record
	told   map[int64]part.Delivery
}

func (w *world) Grab(_ context.Context, after time.Time) (part.Frame, error) {
	return part.Frame{ExposedAt: after, SHA256: "f00"}, nil
}

func (w *world) Inspect(context.Context, part.Frame) (part.Finding, error) {
	w.mu.Lock()
	id := w.partID
	w.mu.Unlock()
	found := part.Finding{Recipe: w.Recipe(), Score: 1, Threshold: 2, Reason: part.None}
	switch id {
	case "bad":
		found.Score, found.Reason = 3, part.Anomaly
	case "slow":
		time.Sleep(cycle + cycle/2)
	}
	return found, nil
}

func (w *world) Recipe() part.Recipe { return part.Recipe{Name: "bracket", Version: 1} }
func (w *world) Insert(_ context.Context, r part.Record) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rows = append(w.rows, r)
	return int64(len(w.rows)), nil
}
func (w *world) Deliver(id int64, d part.Delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told[id] = d
}
func (w *world) Late(int64, part.Finding)                    {}
func (w *world) KeepPicture(int64, part.Frame, part.Verdict) {}
func (w *world) LosePicture(int64, part.Verdict, error)      {}
func (w *world) Recover(context.Context, string, part.Told, part.Count) (bool, error) {
	return false, nil
}
func (w *world) Last(context.Context, string) (part.Count, error) {
	return part.Count{Last: w.last}, nil
}
func (w *world) Event(string, string, string) {}
func (w *world) Healthy() error               { return nil }

// cycle is long enough for a machine that is busy with something else.
const cycle = 2 * time.Second

// listening hears what the line hears, and remembers which part the camera sees.
type listening struct {
	*line.Runner
	world *world
}

func (l listening) Triggered(t part.Trigger) {
	l.world.mu.Lock()
	l.world.partID = t.PartID
	l.world.mu.Unlock()
	l.Runner.Triggered(t)
}

// counting is a record that has come so far; at 0 it has no part yet.
func counting(last uint32) Numbers {
	n := Numbers{Reserve: func(context.Context, part.Sequence) error { return nil }}
	if last > 0 {
		n.Last = part.Sequence{Value: last, Bits: bits}
	}
	return n
}

// start runs a whole line behind the server until the test ends.
func start(t *testing.T) (*Station, *world) { return startFrom(t, counting(41)) }

func startFrom(t *testing.T, numbers Numbers) (*Station, *world) {
	t.Helper()
	w := &world{last: numbers.Last, told: map[int64]part.Delivery{}}
	config := line.DefaultConfig()
	config.Cycle = setting.Duration(cycle)
	quiet := slog.New(slog.DiscardHandler)
	runner := line.NewRunner(config, line.Deps{Camera: w, Inspector: w, Store: w, Log: quiet, NoJournal: true})
	cfg := Config{Listen: "127.0.0.1:0", Clients: []string{filepath.Join(certificates, "plc.der")}}
	s, err := New(cfg, certificates, numbers, cycle, "bracket", listening{runner, w}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	runner.UsePLC(s)
	ctx, stop := context.WithCancel(context.Background())
	serving, unlink := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { _ = runner.Run(ctx); unlink() })
	work.Go(func() {
		if err := s.Run(serving); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); work.Wait() })
	ready(t, s)
	return s, w
}

// ready waits until the line has done with the part before, of which the PLC may know a moment sooner.
func ready(t *testing.T, s *Station) {
	t.Helper()
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		if _, mode := s.states(); mode == stateReady {
			return
		}
	}
	t.Fatal("the station is not ready")
}

// foreign runs a client that nobody of this project wrote the OPC UA of, and gives what it printed.
func foreign(t *testing.T, name string, s *Station, certificate string) (got map[string]any) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	installed := filepath.Join(root, ".tools/interop", name)
	if _, err := os.Stat(installed); err != nil {
		t.Fatalf("%s is not there: 'scripts/setup.sh test' brings it", installed)
	}
	own, err := pki.Open(certificates, certificate)
	if err != nil {
		t.Fatal(err)
	}
	order, err := json.Marshal(map[string]string{
		"endpoint": "opc.tcp://" + s.Address(), "server": filepath.Join(certificates, "linectl.der"),
		"certificate": filepath.Join(certificates, certificate+".der"), "key": filepath.Join(certificates, certificate+".pem"), "uri": own.URI,
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "python3", filepath.Join(root, "tools/interop/asyncua/client.py"), string(order))
	if name == "node" {
		cmd = exec.CommandContext(t.Context(), "node", filepath.Join(root, "tools/interop/node/client.js"), string(order))
	}
	cmd.Env = append(os.Environ(), "PYTHONPATH="+installed, "LINECTL_INTEROP_NODE="+installed)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return got
}

// A foreign client reaches everything by its browse names and calls every method; each accepted call has
// exactly one row, and what the client was told is what the row says.
func TestForeignClient(t *testing.T) {
	t.Parallel()
	s, w := start(t)
	got := foreign(t, "asyncua", s, "plc")
	compare(t, got, map[string]string{
		"before":     `BadNoData`,
		"inspect":    `[42 true 1 1]`,
		"rejected":   `[43 false 2 3]`,
		"sequence":   `44`,
		"result":     `[true true 1 1 A2]`,
		"unknown":    `BadNoData`,
		"wrong":      `BadInvalidArgument`,
		"few":        `BadArgumentsMissing`,
		"latest":     `[44 A2 true 1]`,
		"news":       `44`,
		"written":    `BadNotWritable`,
		"id":         `5031`,
		"job":        `[45 0]`,
		"job result": `[45 B1 M1 1 false true]`,
		"events":     `[[1013 45 VisionSystem] [1024 45 VisionSystem]]`,
		"event":      `[B1 M1 1 false [true 1 1]]`,
		"by id":      `[0 0 45 45 B1 M1 bracket 1 false false [true 1 1]]`,
		"no result":  `-4`,
		"recipe":     `[<nil> -2]`,
		"prepared":   `true`,
		"stop":       `-1`,
		"abort":      `0`,
		"aborted":    `[true 3]`,
		"halt":       `0`,
		"refused":    `BadInvalidState`,
		"halted":     `-1`,
		"reset":      `0`,
		"select":     `0`,
		"states":     `[[Operational Ready] [Operational Ready] [Operational SingleExecution] [Halted BadStateNotActive] [Preoperational BadStateNotActive] [Operational Ready]]`,
		"handshake":  `[true 7000 true false 1 W1]`,
		"at rest":    `[false 7000 false true]`,
	})
	w.hasRows(t, "A1", part.None, "bad", part.Anomaly, "A2", part.None, "B1", part.None, "slow", part.Overrun, "W1", part.None)
}

// Another one does as well.
func TestAnotherForeignClient(t *testing.T) {
	t.Parallel()
	s, w := start(t)
	compare(t, foreign(t, "node", s, "plc"), map[string]string{
		"inspect":   `[42 true 1 1]`,
		"rejected":  `[43 false 2 3]`,
		"sequence":  `44`,
		"result":    `[true true 1 1 A2]`,
		"news":      `44`,
		"few":       `BadArgumentsMissing`,
		"written":   `BadNotWritable`,
		"job":       `0`,
		"done":      `[1 true]`,
		"stop":      `-1`,
		"abort":     `-1`,
		"halt":      `0`,
		"reset":     `0`,
		"select":    `0`,
		"states":    `[[Operational Ready] [Operational Ready] [Halted BadStateNotActive] [Operational Ready]]`,
		"handshake": `[true 7000 true false 1 W1]`,
		"rest":      `[false 7000 false true]`,
	})
	w.hasRows(t, "A1", part.None, "bad", part.Anomaly, "A2", part.None, "", part.None, "W1", part.None)
}

// compare holds what a client got against what it should.
func compare(t *testing.T, got map[string]any, want map[string]string) {
	t.Helper()
	for key, want := range want {
		value := got[key]
		if n, ok := value.(float64); ok {
			value = int64(n)
		}
		if fmt.Sprint(value) != want {
			t.Errorf("%s: %v, want %s", key, value, want)
		}
	}
}

// hasRows wants exactly the rows of the given parts with their reasons, in this order.
func (w *world) hasRows(t *testing.T, want ...any) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.rows) != len(want)/2 {
		t.Fatalf("%d rows for %d accepted calls", len(w.rows), len(want)/2)
	}
	for i, r := range w.rows {
		if r.Trigger.Sequence.Value != uint32(42+i) || r.Trigger.PartID != want[2*i] || r.Reason != want[2*i+1] {
			t.Errorf("row %d: sequence %s, part %q, reason %s", i, r.Trigger.Sequence, r.Trigger.PartID, r.Reason)
		}
	}
}

// Only a pinned certificate opens a channel. What a client makes of that is its own.
func TestStranger(t *testing.T) {
	t.Parallel()
	s, w := start(t)
	for name, want := range map[string]string{"asyncua": "BadCertificateUntrusted", "node": "may have been rejected"} {
		if got := foreign(t, name, s, "stranger"); len(got) != 1 || !strings.Contains(fmt.Sprint(got["refused"]), want) {
			t.Errorf("%s, a stranger: %v", name, got)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.rows) != 0 {
		t.Error("there are rows")
	}
}
