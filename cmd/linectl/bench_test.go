package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"linectl/internal/config"
	"linectl/internal/line"
	"linectl/internal/opcua"
	"linectl/internal/part"
	"linectl/internal/sim/plc"
	"linectl/internal/store"
)

// instant is a camera and an inspector that take no time: what is left is linectl's own share of a cycle.
type instant struct{}

func (i *instant) Grab(_ context.Context, after time.Time) (part.Frame, error) {
	return part.Frame{Camera: "instant", ExposedAt: after, Width: 1, Height: 1, Pixels: make([]byte, 3)}, nil
}

func (i *instant) Inspect(context.Context, part.Frame) (part.Finding, error) {
	return part.Finding{Recipe: i.Recipe(), Score: 1, Threshold: 2, Reason: part.None,
		Map: part.Map{Width: 32, Height: 32, Cells: make([]float32, 32*32)}}, nil
}

func (i *instant) Recipe() part.Recipe { return part.Recipe{Name: "bench", Version: 1} }

// watched is the store, and a note of how long each cycle took.
type watched struct {
	*store.Store
	mu     sync.Mutex
	totals []time.Duration
}

func (w *watched) Deliver(id int64, d part.Delivery) {
	w.Store.Deliver(id, d)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.totals = append(w.totals, d.Total)
}

// apart is the time between two parts: fifty a second is more than any line brings, and the outcome of
// one part is on the disk before the next one comes.
const apart = 20 * time.Millisecond

// BenchmarkCycle measures trigger seen to result written and confirmed, inference excluded: encrypted
// link, default poll, each pass durable in the record before it is sent. The pass's way from the PLC's
// part_present to the PLC's decision is reported beside it.
func BenchmarkCycle(b *testing.B) {
	folder := b.TempDir()
	sim, err := plc.Start(plc.Config{Folder: filepath.Join(folder, "plc"), Width: 32, ResultLimit: time.Second})
	if err != nil {
		b.Fatal(err)
	}
	defer sim.Close()
	path := filepath.Join(folder, "linectl.toml")
	text := fmt.Sprintf("state = %q\n[line]\nname = \"bench\"\n%s[[camera]]\nname = \"x\"\nsource = \"folder:/\"\n[inspect]\nrecipe = \"bench\"\n", folder, sim.Section())
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil {
		b.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	record, err := store.Open(b.Context(), c.Store, log)
	if err != nil {
		b.Fatal(err)
	}
	defer record.Close()
	w := &watched{Store: record}
	still := &instant{}
	s := station{runner: line.NewRunner(c.Line, line.Deps{Camera: still, Inspector: still, Store: w, Log: log})}
	if s.link, err = opcua.New(c.PLC, c.PKI(), s.runner, log); err != nil {
		b.Fatal(err)
	}
	s.runner.UsePLC(s.link)
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	for sim.Tag("ready") != true {
		time.Sleep(5 * time.Millisecond)
	}

	var seen []time.Duration
	for b.Loop() {
		o, err := sim.Inspect(b.Context(), plc.Part{ID: "bench"})
		if err != nil || !o.Pass {
			b.Fatalf("%+v, %v", o, err)
		}
		seen = append(seen, o.Latency)
		time.Sleep(apart)
	}
	stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	report := func(what string, d []time.Duration) {
		slices.Sort(d)
		for name, at := range map[string]int{"p50": len(d) / 2, "p99": len(d) * 99 / 100, "max": len(d) - 1} {
			b.ReportMetric(milliseconds(d[at]), name+"-ms-"+what)
		}
	}
	report("seen-to-written", w.totals)
	report("at-the-PLC", seen)
}
