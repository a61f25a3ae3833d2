package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"linectl/internal/part"
)

// seeded opens the record that tools/seed made: LINECTL_SEEDED names its file.
func seeded(b *testing.B) (*Reader, int64) {
	path := os.Getenv("LINECTL_SEEDED")
	if path == "" {
		b.Skip("LINECTL_SEEDED names no record; make one with 'go run ./tools/seed -db FILE'")
	}
	r, err := OpenReader(context.Background(), Config{Path: path})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { r.Close() })
	var parts int64
	if err := r.db.QueryRow(`SELECT max(id) FROM inspection`).Scan(&parts); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(parts), "parts")
	return r, parts
}

// reportP99 adds the time that 99 of 100 took at most.
func reportP99(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

func find(b *testing.B, r *Reader, f Filter) (n int) {
	for _, err := range r.Find(context.Background(), f) {
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	return n
}

func BenchmarkFindSerial(b *testing.B) {
	r, parts := seeded(b)
	var took []time.Duration
	for b.Loop() {
		var id string
		if err := r.db.QueryRow(`SELECT part_id FROM inspection WHERE id = ?`, 1+rand.Int64N(parts)).Scan(&id); err != nil {
			b.Fatal(err)
		}
		begun := time.Now()
		if n := find(b, r, Filter{Part: id, Limit: 1}); n != 1 {
			b.Fatalf("%d parts found", n)
		}
		took = append(took, time.Since(begun))
	}
	reportP99(b, took)
}

// The lots of the seeded record have about 50 rejects each; the pattern takes 100 lots.
func BenchmarkLast1000RejectsOfLots(b *testing.B) {
	r, parts := seeded(b)
	reject := part.Reject
	for b.Loop() {
		hundred := rand.Int64N(max(1, parts/5000/100))
		if n := find(b, r, Filter{Lot: fmt.Sprintf("L%03d*", hundred), Verdict: &reject, Limit: 1000}); n < 500 {
			b.Fatalf("%d rejects found", n)
		}
	}
}

// The seeded record has one lot with more than 1000 rejects.
func BenchmarkLast1000RejectsOfALot(b *testing.B) {
	r, _ := seeded(b)
	reject := part.Reject
	var took []time.Duration
	for b.Loop() {
		begun := time.Now()
		if n := find(b, r, Filter{Lot: "LARGE", Verdict: &reject, Limit: 1000}); n != 1000 {
			b.Fatalf("%d rejects found", n)
		}
		took = append(took, time.Since(begun))
	}
	reportP99(b, took)
}

// BenchmarkFindFew asks for what few parts match, far from the newest or with fewer matches than the limit.
func BenchmarkFindFew(b *testing.B) {
	r, parts := seeded(b)
	story := func(id int64) time.Time {
		s, err := r.Part(context.Background(), id)
		if err != nil {
			b.Fatal(err)
		}
		return s.Record.Trigger.SeenAt
	}
	oldest, newest := story(1), story(parts)
	reject := part.Reject
	for _, c := range []struct {
		name string
		f    Filter
	}{
		{"RejectsOfTheLastHour", Filter{Since: newest.Add(-time.Hour), Verdict: &reject}},
		{"UntilTheFirstDay", Filter{Until: oldest.AddDate(0, 0, 1)}},
		{"AnOldRecipe", Filter{Recipe: "flange", Version: 1}},
		{"NoSuchRecipe", Filter{Recipe: "flnage"}},
		{"Pattern", Filter{Part: "SN-00000004*"}},
		{"PatternOfAll", Filter{Part: "SN-*"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			c.f.Limit = 50
			for b.Loop() {
				if n := find(b, r, c.f); n == 0 && c.name != "NoSuchRecipe" {
					b.Fatal("nothing is found")
				}
			}
		})
	}
}

// BenchmarkNear compares one part with all others, with those of a lot, and with all rejects.
func BenchmarkNear(b *testing.B) {
	r, parts := seeded(b)
	reject := part.Reject
	for _, c := range []struct {
		name string
		f    Filter
	}{{"All", Filter{}}, {"Lot", Filter{Lot: "L00042"}}, {"Rejects", Filter{Verdict: &reject}}} {
		b.Run(c.name, func(b *testing.B) {
			c.f.Limit = 10
			for b.Loop() {
				if found, err := r.Near(context.Background(), 1+rand.Int64N(parts), c.f, nil); err != nil || len(found) != 10 {
					b.Fatal(len(found), err)
				}
			}
		})
	}
}

func BenchmarkStatsOfAYearByDay(b *testing.B) {
	r, _ := seeded(b)
	for b.Loop() {
		slots, err := r.Slots(context.Background(), SlotFilter{})
		if err != nil || len(Group(slots, false, func(s Slot) string { return dayOf(s.At) })) < 100 {
			b.Fatal(len(slots), err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	r, _ := seeded(b)
	links := 0
	for b.Loop() {
		v, err := r.Verify(context.Background(), VerifyOptions{}, func(p string) { b.Error(p) })
		if err != nil {
			b.Fatal(err)
		}
		links += int(v.Links)
	}
	b.ReportMetric(float64(links)/b.Elapsed().Seconds(), "links/s")
}

// withMap is a record with a heatmap as PatchCore makes it.
func withMap(n uint32) part.Record {
	r := good(n)
	r.Finding.Map = part.Map{Width: 28, Height: 28, Cells: make([]float32, 28*28)}
	for i := range r.Finding.Map.Cells {
		r.Finding.Map.Cells[i] = rand.Float32()
	}
	return r
}

// BenchmarkDurableRecord writes one after the other, and reports beside it how fast the disk makes a
// small file durable.
func BenchmarkDurableRecord(b *testing.B) {
	s := newStore(b)
	f, err := os.Create(filepath.Join(filepath.Dir(s.config.Path), "fsync"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	begun := time.Now()
	const syncs = 200
	for range syncs {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	rate := syncs / time.Since(begun).Seconds()
	var took []time.Duration
	for n := uint32(0); b.Loop(); n++ {
		begun := time.Now()
		s.Deliver(insert(b, s, withMap(n)), written(part.Pass, part.None))
		took = append(took, time.Since(begun))
	}
	b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(rate, "fsyncs/s")
	reportP99(b, took)
}

// BenchmarkInsertBesideReaders writes 100 parts a second while 20 readers ask and backups are made.
func BenchmarkInsertBesideReaders(b *testing.B) {
	s := newStore(b)
	for n := range uint32(2000) {
		insert(b, s, withMap(n))
	}
	var ended atomic.Bool
	var group sync.WaitGroup
	var questions, copies atomic.Int64
	for range 20 {
		group.Go(func() {
			r, err := OpenReader(context.Background(), s.config)
			if err != nil {
				b.Error(err)
				return
			}
			defer r.Close()
			for ; !ended.Load(); time.Sleep(50 * time.Millisecond) { // as people and pages ask
				find(b, r, Filter{Limit: 50})
				questions.Add(1)
			}
		})
	}
	folder := b.TempDir()
	group.Go(func() {
		for n := 0; !ended.Load(); n++ {
			if _, err := s.Backup(context.Background(), folder, 2, noon.Add(time.Duration(n)*time.Second), func(string) {}); err != nil {
				b.Error(err)
			}
			copies.Add(1)
		}
	})
	var took []time.Duration
	for n := uint32(0); b.Loop(); n++ {
		begun := time.Now()
		insert(b, s, withMap(n))
		took = append(took, time.Since(begun))
		time.Sleep(10*time.Millisecond - time.Since(begun))
	}
	ended.Store(true)
	group.Wait()
	b.ReportMetric(float64(questions.Load()), "questions")
	b.ReportMetric(float64(copies.Load()), "backups")
	reportP99(b, took)
}
