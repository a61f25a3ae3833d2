package opcua

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"linectl/internal/part"
	"linectl/internal/setting"
	"linectl/internal/sim/plc"
)

// soakLine is a line of its own: a PLC, an encrypted link to it, and somebody who answers.
type soakLine struct {
	plc   *plc.PLC
	link  *Link
	heard ear
	parts uint32
}

// handshake takes one part through, with a verdict of its own, and says what came out otherwise than told.
func (s *soakLine) handshake(ctx context.Context) error {
	s.parts++
	name, verdict, reason := fmt.Sprint("P", s.parts), part.Verdict(s.parts%2), part.None
	if verdict == part.Reject {
		reason = part.Anomaly
	}
	outcome := make(chan plc.Outcome, 1)
	go func() {
		o, err := s.plc.Inspect(ctx, plc.Part{ID: name})
		if err != nil {
			o.Why = err.Error()
		}
		outcome <- o
	}()
	triggered, err := s.hear("triggered")
	if err != nil {
		return err
	}
	if got := triggered.trigger; got.Sequence != (part.Sequence{Value: s.parts, Bits: 32}) || got.PartID != name {
		return fmt.Errorf("heard of part %s, %s", got.Sequence, got.PartID)
	}
	if err := s.link.Answer(ctx, part.Result{Trigger: triggered.trigger, Verdict: verdict, Reason: reason, Score: float64(s.parts)}); err != nil {
		return err
	}
	if _, err := s.hear("withdrawn"); err != nil {
		return err
	}
	if err := s.link.Clear(ctx); err != nil {
		return err
	}
	if o := <-outcome; o.Seq != s.parts || !o.Told || o.Pass != (verdict == part.Pass) || o.Code != reason.Code() || o.Score != float32(s.parts) {
		return fmt.Errorf("%s became %+v", verdict, o)
	}
	return nil
}

func (s *soakLine) hear(kind string) (event, error) {
	for end := time.After(patience); ; {
		select {
		case e := <-s.heard:
			switch e.kind {
			case kind:
				return e, nil
			case "fresh": // the PLC's sign of life, once
			default:
				return e, fmt.Errorf("heard %q, want %s", e, kind)
			}
		case <-end:
			return event{}, fmt.Errorf("%s was never heard", kind)
		}
	}
}

// use is what the process has in use.
type use struct {
	heap, resident uint64
	goroutines     int
}

// The heap is the least of some readings: what the polls allocate while the collector is at work counts as in use
// until its next turn, and on a busy machine that takes its time.
func inUse(t *testing.T) use {
	heap := uint64(math.MaxUint64)
	for range 5 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		heap = min(heap, m.HeapAlloc)
	}
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseUint(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return use{heap, pages * uint64(os.Getpagesize()), runtime.NumGoroutine()}
}

// Handshakes one after the other on several lines side by side, polled as in production: each comes out exactly
// as told, and what is in use after the first ones is all that it ever takes. LINECTL_SOAK is how many
// handshakes (1 stands for a million), LINECTL_SOAK_LINES over how many lines (8).
func TestManyHandshakes(t *testing.T) {
	lines, all, every := 2, 300, 100
	if n, err := strconv.Atoi(os.Getenv("LINECTL_SOAK")); err == nil {
		if lines, all, every = 8, n, 50_000; n == 1 {
			all = 1_000_000
		}
		if n, err := strconv.Atoi(os.Getenv("LINECTL_SOAK_LINES")); err == nil {
			lines = n
		}
	}
	var side []*soakLine
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for range lines {
		p := startPLC(t, plc.Config{ResultLimit: patience, Width: 32, IgnoreWatchdog: true})
		cfg := configFor(p)
		cfg.Stale = setting.Duration(patience)
		heard := make(ear, 1000)
		l, err := New(cfg, certificates, heard, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		l.limits = calm()
		running.Go(func() {
			if err := l.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		running.Go(func() {
			for n := uint16(1); ctx.Err() == nil; n++ {
				_ = l.Report(ctx, part.Status{Ready: true, FaultCode: part.None, Heartbeat: n}) // no session, no beat
				select {
				case <-ctx.Done():
				case <-time.After(250 * time.Millisecond):
				}
			}
		})
		connectedAgain(t, heard)
		side = append(side, &soakLine{plc: p, link: l, heard: heard})
	}
	t.Cleanup(func() { stop(); running.Wait(); noneLeft(t) }) // before the PLCs, which wait for their clients
	// Every so many handshakes all lines rest, and what is in use is looked at.
	begun, warm := time.Now(), use{}
	t.Logf("%10s %8s %6s %9s %11s %10s", "handshakes", "after", "per s", "heap kB", "resident kB", "goroutines")
	for done := 0; done < all; {
		round := min(every, all-done)
		var left atomic.Int64
		left.Store(int64(round))
		var work sync.WaitGroup
		failed := make([]error, lines)
		for i, s := range side {
			work.Go(func() {
				for left.Add(-1) >= 0 && failed[i] == nil {
					failed[i] = s.handshake(ctx)
				}
				if failed[i] != nil {
					failed[i] = fmt.Errorf("line %d, part %d: %w", i+1, s.parts, failed[i])
				}
			})
		}
		work.Wait()
		if err := errors.Join(failed...); err != nil {
			t.Fatal(err)
		}
		done += round
		now := inUse(t)
		took := time.Since(begun)
		t.Logf("%10d %8s %6.0f %9d %11d %10d", done, took.Round(time.Second), float64(done)/took.Seconds(), now.heap>>10, now.resident>>10, now.goroutines)
		if warm == (use{}) {
			warm = now
		}
		if now.heap > warm.heap+8<<20 || now.resident > warm.resident+64<<20 {
			t.Errorf("memory grew from %+v to %+v", warm, now)
		}
		if now.goroutines > warm.goroutines+3 {
			t.Errorf("%d goroutines became %d", warm.goroutines, now.goroutines)
		}
	}
	for i, s := range side {
		if n := s.link.Status().Sessions; n != 1 {
			t.Errorf("line %d needed %d sessions", i+1, n)
		}
	}
}
