package store

import (
	"context"
	"log/slog"
	"math"
	"path/filepath"
	"testing"
	"time"

	"linectl/internal/part"
)

// configIn is a config with everything below one folder and no demand on its disk.
func configIn(folder string) Config {
	c := DefaultConfig()
	c.Path = filepath.Join(folder, "linectl.db")
	c.Pictures = filepath.Join(folder, "pictures")
	c.MinFree = 0
	return c
}

func openStore(t testing.TB, c Config) *Store {
	t.Helper()
	s, err := Open(context.Background(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newStore is a new record that is closed with the test.
func newStore(t testing.TB) *Store {
	t.Helper()
	s := openStore(t, configIn(t.TempDir()))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func insert(t testing.TB, s *Store, r part.Record) int64 {
	t.Helper()
	id, err := s.Insert(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func story(t testing.TB, s *Store, id int64) Story {
	t.Helper()
	got, err := s.Part(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// settle waits until everything that is queued is in the record.
func (s *Store) settle(t testing.TB) {
	t.Helper()
	if err := s.writer.wait(context.Background(), "end of the queue", func(*ledger) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

// dropped is how many pictures, deliveries and events were not kept since Open.
func (s *Store) dropped() (pictures, notes uint64) {
	return s.pictures.dropped.count.Load(), s.writer.dropped.count.Load()
}

func rows(t testing.TB, s *Store, table string) (n int) {
	t.Helper()
	if err := s.Reader.db.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 123456000, time.UTC)

// good is the record of a part that was passed.
func good(sequence uint32) part.Record {
	return part.Record{
		Station: "press 4",
		Trigger: part.Trigger{Sequence: part.Sequence{Value: sequence, Bits: 16}, PartID: "A17-0042", Lot: "L9", Recipe: "bracket", SeenAt: noon},
		Mode:    "auto",
		Verdict: part.Pass,
		Reason:  part.None,
		Finding: &part.Finding{
			Recipe:    part.Recipe{Name: "bracket", Version: 3, Hash: "ab12", Backbone: "cd34"},
			Score:     1.25,
			Threshold: 2.5,
			Map:       part.Map{Width: 3, Height: 2, Cells: []float32{0, 5, 5, 0, 0, 5}},
			Quality:   part.Quality{Brightness: 120, Spread: 30, Sharpness: 88},
			Reason:    part.None,
		},
		Digest:   "ef56",
		Software: "linectl 1.2.3",
	}
}

// rejected is the record of a part that was rejected without having been inspected.
func rejected(sequence uint32, reason part.Reason) part.Record {
	r := good(sequence)
	r.Verdict, r.Reason, r.Finding, r.Detail = part.Reject, reason, nil, "for a reason"
	return r
}

func written(verdict part.Verdict, reason part.Reason) part.Delivery {
	return part.Delivery{
		Verdict: verdict, Reason: reason, Outcome: part.Written, Total: 88 * time.Millisecond,
		Stages: []part.Stage{{Name: "grab", Took: 30 * time.Millisecond}, {Name: "network", Took: 50 * time.Millisecond}, {Name: "write", Took: 8 * time.Millisecond}},
	}
}

func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

func rowOf(r part.Record) func(*ledger) error {
	return func(tx *ledger) error {
		_, err := insertRecord(tx, r)
		return err
	}
}
