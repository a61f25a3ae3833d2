// Seed makes a record like that of a line that has run for a year, through the same writer as the
// daemon, so that questions can be timed on it.
//
//	go run ./tools/seed -db /big/disk/linectl.db -records 10000000
//
// The parts are spread evenly over the time up to -end, in lots of 5000, of three recipe versions. One
// in a hundred is rejected. From 60 % of the time on the scores drift upwards and the light fades. Of ten million
// the last 120,000 are one lot, LARGE, of which more than 1,000 are rejected.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"linectl/internal/part"
	"linectl/internal/store"
)

func main() {
	db := flag.String("db", "", "file of the record to make; it must not exist")
	records := flag.Int64("records", 10_000_000, "parts")
	days := flag.Int("days", 365, "days over which they are spread")
	end := flag.String("end", "2026-11-01", "the day after the last part")
	flag.Parse()
	last, err := time.Parse(time.DateOnly, *end)
	if err == nil {
		err = seed(*db, *records, *days, last)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "seed:", err)
		os.Exit(1)
	}
}

// writers insert at the same time, so that each commit takes many rows.
const writers = 64

func seed(path string, records int64, days int, end time.Time) error {
	if _, err := os.Stat(path); err == nil || path == "" {
		return fmt.Errorf("-db %q: give the name of a new file", path)
	}
	config := store.DefaultConfig()
	config.Path, config.Pictures, config.Keep, config.MinFree = path, filepath.Join(filepath.Dir(path), "pictures"), store.KeepNone, 0
	config.Queue = 1_000_000
	s, err := store.Open(context.Background(), config, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	g := generator{begin: end.AddDate(0, 0, -days), records: records}
	g.step = end.Sub(g.begin) / time.Duration(records)
	begun := time.Now()
	var next atomic.Int64
	var group sync.WaitGroup
	var failed atomic.Pointer[error]
	for w := range writers {
		group.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(w)))
			for n := next.Add(1); n <= records && failed.Load() == nil; n = next.Add(1) {
				r, d := g.part(n, random)
				id, err := s.Insert(context.Background(), r)
				if err != nil {
					failed.Store(&err)
					return
				}
				s.Deliver(id, d)
				if n%(max(records, 100)/100) == 0 {
					fmt.Fprintf(os.Stderr, "seed: %d of %d, %.0f a second\n", n, records, float64(n)/time.Since(begun).Seconds())
				}
			}
		})
	}
	group.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	if err := s.Close(); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	fmt.Printf("%d parts in %s: %.2f GB, %.0f bytes a part\n", records, time.Since(begun).Round(time.Second), float64(info.Size())/1e9, float64(info.Size())/float64(records))
	return nil
}

// generator makes the parts of a line's life.
type generator struct {
	begin   time.Time
	step    time.Duration
	records int64
}

const lotSize = 5000

func (g generator) lot(n int64) string {
	if n > g.records-g.records*12/1000 {
		return "LARGE"
	}
	return fmt.Sprintf("L%05d", n/lotSize)
}

func (g generator) part(n int64, random *rand.Rand) (part.Record, part.Delivery) {
	life := float64(n) / float64(g.records)
	drift := max(0, life-0.6)
	score := 1.2 + 0.15*random.NormFloat64() + drift
	verdict, reason := part.Pass, part.None
	if random.IntN(100) == 0 {
		score = 3 + random.ExpFloat64()
	}
	if score >= 2.5 {
		verdict, reason = part.Reject, part.Anomaly
	}
	version := 1 + int(3*life)
	heat := part.Map{Width: 28, Height: 28, Cells: make([]float32, 28*28)}
	for i := range heat.Cells {
		heat.Cells[i] = float32(score) * (0.2 + 0.1*random.Float32())
	}
	x, y := random.IntN(28), random.IntN(28)
	heat.Cells[28*y+x] = float32(score)
	r := part.Record{
		Station: "press 4", Mode: "auto", Verdict: verdict, Reason: reason, Software: "seed",
		Trigger: part.Trigger{
			Sequence: part.Sequence{Value: uint32(n), Bits: 32},
			PartID:   fmt.Sprintf("SN-%09d", n), Lot: g.lot(n),
			SeenAt: g.begin.Add(time.Duration(n-1) * g.step),
		},
		Finding: &part.Finding{
			Recipe: part.Recipe{Name: "flange", Version: version, Hash: fmt.Sprintf("%064x", version), Backbone: fmt.Sprintf("%064x", 99)},
			Score:  score, Threshold: 2.5, Reason: reason, Map: heat,
			Quality: part.Quality{Brightness: 120 + 2*random.NormFloat64() - 40*drift, Spread: 30, Sharpness: math.Max(1, 90+5*random.NormFloat64())},
		},
		Digest: fmt.Sprintf("%064x", n),
	}
	us := func(mean int) time.Duration { return time.Duration(mean+random.IntN(mean/5)) * time.Microsecond }
	stages := []part.Stage{
		{Name: "grab", Took: us(22_000)}, {Name: "picture", Took: us(1600)}, {Name: "network", Took: us(32_000)},
		{Name: "score", Took: us(9000)}, {Name: "store", Took: us(600)}, {Name: "write", Took: us(1400)},
	}
	d := part.Delivery{Verdict: verdict, Reason: reason, Outcome: part.Written, Stages: stages}
	for _, s := range stages {
		d.Total += s.Took
	}
	return r, d
}
