package store

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"linectl/internal/hint"
	"linectl/internal/part"
)

// holdWriter keeps the writer busy until release is called.
func holdWriter(s *Store) (release func()) {
	hold, held := make(chan struct{}), make(chan struct{})
	s.writer.put("hold", func(*ledger) error {
		close(held)
		<-hold
		return nil
	})
	<-held
	return func() { close(hold) }
}

func TestRowsThatWaitAreCommittedTogetherAndInOrder(t *testing.T) {
	s := newStore(t)
	release := holdWriter(s)
	var group sync.WaitGroup
	ids := make([]int64, 50)
	for n := range ids {
		group.Go(func() {
			id, err := s.Insert(context.Background(), good(uint32(n)))
			if err != nil {
				t.Error(err)
			}
			ids[n] = id
		})
		for queued := 0; queued != n+1; { // one after the other
			s.writer.mu.Lock()
			queued = len(s.writer.queue)
			s.writer.mu.Unlock()
			time.Sleep(100 * time.Microsecond)
		}
	}
	var ended atomic.Bool
	group.Go(func() {
		for !ended.Load() {
			if n := rows(t, s, "inspection"); n != 0 && n != len(ids) {
				t.Errorf("a reader saw %d of %d rows", n, len(ids))
			}
		}
	})
	release()
	s.settle(t)
	ended.Store(true)
	group.Wait()
	if !slices.IsSorted(ids) || ids[0] == 0 {
		t.Errorf("ids are not in the order of the queue: %v", ids)
	}
}

// limitPages lets the file grow no further than it is, as a full disk does; 0 lifts the limit.
func limitPages(t *testing.T, s *Store, limited bool) {
	t.Helper()
	limit := 1 << 30
	if limited {
		if err := s.db.QueryRow("PRAGMA page_count").Scan(&limit); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.db.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", limit)); err != nil {
		t.Fatal(err)
	}
}

func TestFullDisk(t *testing.T) {
	s := newStore(t)
	id := insert(t, s, good(1))
	limitPages(t, s, true)
	big := rejected(2, part.Anomaly)
	big.Detail = strings.Repeat("x", 4000)
	var err error
	for err == nil {
		_, err = s.Insert(t.Context(), big)
	}
	want := "write to the record " + s.config.Path + ": database or disk is full"
	if err.Error() != want || !strings.HasPrefix(hint.Of(err), "the disk is full: make room on the file system of ") {
		t.Errorf("error is %v, hint %s; want %s", err, hint.Of(err), want)
	}
	if err := s.Healthy(); err == nil || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("healthy says %v", err)
	}
	before := rows(t, s, "inspection")
	d := written(part.Pass, part.None)
	d.Error = strings.Repeat("x", 4000)
	for range 3 {
		s.Deliver(id, d)
	}
	if _, err := s.Insert(t.Context(), big); err == nil { // and so the deliveries have been tried
		t.Error("there is room")
	}
	limitPages(t, s, false)
	insert(t, s, good(3)) // the disk is well again before anybody has asked for the deliveries
	before++
	deadline := time.Now().Add(10 * time.Second)
	for s.Healthy() != nil || rows(t, s, "delivery") < 3 {
		if time.Now().After(deadline) {
			t.Fatalf("not well again: %v, %d deliveries", s.Healthy(), rows(t, s, "delivery"))
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := rows(t, s, "inspection"); n != before {
		t.Errorf("%d rows appeared that had failed", n-before)
	}
	insert(t, s, big)
	if _, notes := s.dropped(); notes != 0 {
		t.Errorf("%d notes were dropped", notes)
	}
}

func TestQueueThatIsFullDropsAndCounts(t *testing.T) {
	c := configIn(t.TempDir())
	c.Queue = 100
	var log strings.Builder
	s, err := Open(t.Context(), c, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	id := insert(t, s, good(1))
	release := holdWriter(s)
	for range 150 {
		s.Deliver(id, written(part.Pass, part.None))
	}
	release()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, notes := s.dropped(); notes != 51 { // the hold is one of the hundred
		t.Errorf("%d were dropped, want 51", notes)
	}
	if n := strings.Count(log.String(), "deliveries or events not kept"); n != 1 {
		t.Errorf("it was logged %d times, want once:\n%s", n, log.String())
	}
}

func TestLossOnCloseIsSaid(t *testing.T) {
	c := configIn(t.TempDir())
	s := openStore(t, c)
	id := insert(t, s, good(1))
	limitPages(t, s, true)
	d := written(part.Pass, part.None)
	d.Error = strings.Repeat("x", 4000)
	for range 10 {
		s.Deliver(id, d)
	}
	err := s.Close()
	if err == nil || !strings.Contains(err.Error(), "deliveries or events are lost: database or disk is full") {
		t.Errorf("error is %v", err)
	}
}

func TestHungDiskIsNotHealthy(t *testing.T) {
	s := newStore(t)
	s.writer.since.Store(time.Now().Add(-7 * time.Second).UnixNano())
	want := "the record " + s.config.Path + ": a write has been under way for 7s: the disk does not answer"
	if err := s.Healthy(); err == nil || err.Error() != want {
		t.Errorf("healthy says %v, want %s", err, want)
	}
}

func TestTooLittleSpaceIsNotHealthy(t *testing.T) {
	c := configIn(t.TempDir())
	c.MinFree = 9e18
	s := openStore(t, c)
	defer s.Close()
	if err := s.Healthy(); err == nil || !strings.Contains(err.Error(), "free; at least 900000 TB is needed") || !strings.Contains(hint.Of(err), "store.min_free") {
		t.Errorf("healthy says %v", err)
	}
	id := insert(t, s, rejected(1, part.Anomaly)) // rows go on
	s.KeepPicture(id, frame(4, 4, 1), part.Reject)
	if err := s.pictures.close(); err != nil {
		t.Fatal(err)
	}
	if pictures, _ := s.dropped(); pictures != 1 {
		t.Errorf("%d pictures were dropped, want 1", pictures)
	}
	s.pictures = newPictures(s.config, false, s.writer, s.log) // for Close
}

func TestReadersBesideTheWriter(t *testing.T) {
	s := newStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var reads atomic.Int64
	for n := range 20 {
		group.Go(func() {
			reader, err := OpenReader(t.Context(), s.config)
			if err != nil {
				t.Error(err)
				return
			}
			defer reader.Close()
			random := rand.New(rand.NewPCG(1, uint64(n)))
			for ctx.Err() == nil {
				newest := int64(0)
				for p, err := range reader.Find(t.Context(), Filter{Limit: 10}) {
					if err != nil {
						t.Error(err)
						return
					}
					newest = max(newest, p.ID)
				}
				if newest > 0 {
					id := 1 + random.Int64N(newest)
					if got, err := reader.Part(t.Context(), id); err != nil || got.Record.Finding == nil || len(got.Record.Finding.Map.Cells) != 6 {
						t.Errorf("record %d: %v, %+v", id, err, got)
						return
					}
				}
				reads.Add(1)
				time.Sleep(time.Millisecond) // the writer shares the processors
			}
		})
	}
	for n := range uint32(100) {
		s.Deliver(insert(t, s, good(n)), written(part.Pass, part.None))
	}
	cancel()
	group.Wait()
	if reads.Load() < 20 {
		t.Errorf("only %d reads", reads.Load())
	}
}

// BenchmarkInsert is the row of a part with a heatmap of 28 x 28 until it is durable, one at a time, as
// the line waits for it before a pass.
func BenchmarkInsert(b *testing.B) {
	s := newStore(b)
	r := good(1)
	r.Finding.Map = part.Map{Width: 28, Height: 28, Cells: make([]float32, 28*28)}
	for i := range r.Finding.Map.Cells {
		r.Finding.Map.Cells[i] = rand.Float32()
	}
	var took []time.Duration
	for b.Loop() {
		begun := time.Now()
		id, err := s.Insert(context.Background(), r)
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begun))
		s.Deliver(id, written(part.Pass, part.None))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
