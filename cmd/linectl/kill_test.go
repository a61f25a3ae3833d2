package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"linectl/internal/config"
	"linectl/internal/inspect"
	"linectl/internal/inspect/picture"
	"linectl/internal/part"
	"linectl/internal/sim/parts"
	"linectl/internal/sim/plc"
	"linectl/internal/store"
)

// testRig is a rig with a small recipe, and pictures of parts that the recipe was not trained on.
func testRig(t *testing.T, cycle time.Duration) (r *rig, pictures []string) {
	t.Helper()
	folder := t.TempDir()
	if err := parts.Write(filepath.Join(folder, "parts"), parts.Cap, 24, 6, 7); err != nil {
		t.Fatal(err)
	}
	good, err := picture.List(filepath.Join(folder, "parts/good"))
	if err != nil {
		t.Fatal(err)
	}
	bad, err := picture.List(filepath.Join(folder, "parts/bad"))
	if err != nil {
		t.Fatal(err)
	}
	training := filepath.Join(folder, "training")
	if err := link(good[:16], training); err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.State = filepath.Join(folder, "state")
	_, err = inspect.Train(t.Context(), c.Inspect, c.Folders(),
		inspect.TrainOptions{Name: "test", Good: training, Bank: 64, Size: picture.Size{Width: 128, Height: 96}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("linectl")
	if err != nil {
		t.Fatal(err)
	}
	r, err = newRig(rigConfig{folder: folder, recipe: "test", cycle: cycle, program: program})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.plc.Close(); err != nil {
			t.Error(err)
		}
	})
	return r, append(good[16:], bad...)
}

// TestKill kills the daemon at random instants while parts come, as a crash or a power cut of the
// computer would, and holds the record against the PLC's own log: the PLC never saw a pass that has no
// row, it never saw any result that has no row, and every part that it presented is accounted for once.
func TestKill(t *testing.T) {
	kills := 50
	if testing.Short() {
		kills = 8
	}
	r, pictures := testRig(t, 2*time.Second)
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	brought := 0
	for kill := range kills {
		if err := r.start(); err != nil {
			t.Fatal(err)
		}
		if err := r.ready(t.Context(), time.Minute); err != nil {
			t.Fatalf("start %d: %v", kill+1, err)
		}
		// Parts come until the daemon is dead; the one under way then ends by the PLC's own limit, or
		// stays in view until the daemon is back.
		ctx, cancel := context.WithCancel(t.Context())
		conveyor := make(chan error, 1)
		choice := rand.New(rand.NewPCG(random.Uint64(), 0))
		go func() {
			for ctx.Err() == nil {
				brought++
				p := plc.Part{ID: fmt.Sprintf("SN-%05d", brought), Lot: fmt.Sprint(kill)}
				if _, err := r.inspect(ctx, p, pictures[choice.IntN(len(pictures))]); err != nil && !errors.Is(err, context.Canceled) {
					conveyor <- err
					return
				}
			}
			conveyor <- nil
		}()
		time.Sleep(time.Duration(random.Int64N(int64(400 * time.Millisecond))))
		if err := r.kill(); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-conveyor; err != nil {
			t.Fatal(err)
		}
		if kill%2 == 0 {
			r.plc.Present(plc.Part{ID: "left in view"}) // it is there already when the daemon comes back
		}
	}
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
	if err := r.ready(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	// A last part: by its counter the parts before it are known to have gone by.
	if o, err := r.inspect(t.Context(), plc.Part{ID: "the last"}, pictures[0]); err != nil || !o.Told {
		t.Fatalf("the last part: %+v, %v", o, err)
	}
	if err := r.stop(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	holdAgainstPLC(t, r)
}

// holdAgainstPLC compares the record with the PLC's own log.
func holdAgainstPLC(t *testing.T, r *rig) {
	t.Helper()
	c, err := config.Load(r.config)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := store.OpenReader(t.Context(), c.Store)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	rows := map[uint32]store.Part{}
	accounted := map[uint32]int{}
	recovered, missed := 0, 0
	for p, err := range reader.Find(t.Context(), store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		for n := range max(p.Missed, 1) {
			accounted[p.Sequence.Value-n]++
		}
		if p.Missed > 0 {
			missed += int(p.Missed)
			continue
		}
		rows[p.Sequence.Value] = p
		if p.Recovered {
			recovered++
		}
	}
	seen, err := plc.ReadLog(filepath.Join(r.folder, "plc/seen.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	passes, rejects := 0, 0
	for _, s := range seen {
		row, ok := rows[s.Seq]
		switch {
		case !ok:
			t.Errorf("the PLC saw a result for sequence %d (pass %v, code %d) that has no row", s.Seq, s.Pass, s.Code)
		case s.Accept && row.Decided != part.Pass:
			t.Errorf("the PLC saw a pass for sequence %d; its row says %s %q", s.Seq, row.Decided, row.DecidedReason)
		case s.Accept && row.Verdict != part.Pass, !s.Accept && row.Verdict == part.Pass:
			t.Errorf("the PLC saw accept=%v for sequence %d; the record says it was told %s", s.Accept, s.Seq, row.Verdict)
		}
		if s.Pass {
			passes++
		} else {
			rejects++
		}
	}
	presented := r.plc.Tag("trigger_seq").(uint32)
	for value := uint32(1); value <= presented; value++ {
		if accounted[value] != 1 {
			t.Errorf("sequence %d is accounted for %d times in the record", value, accounted[value])
		}
	}
	t.Logf("%d parts presented; the PLC saw %d passes and %d rejects; %d rows recovered from its tags, %d parts went by unseen", presented, passes, rejects, recovered, missed)
	if passes == 0 || rejects == 0 {
		t.Error("the test did not reach what it should test")
	}
}
