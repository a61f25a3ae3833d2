package main

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"linectl/internal/part"
	"linectl/internal/sim/conveyor"
	"linectl/internal/sim/plc"
	"linectl/internal/store"
)

// A replay of the record brings each part with all that the PLC said of it, in the order in which they came;
// what nobody saw comes as a gap in the counter.
func TestReplayOfTheRecord(t *testing.T) {
	cfg := store.DefaultConfig()
	cfg.Path, cfg.Pictures = filepath.Join(t.TempDir(), "linectl.db"), t.TempDir()
	s, err := store.Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var want []conveyor.Recorded
	for n := range uint32(1203) { // more than two pages
		r := part.Record{Station: "press 4", Mode: "auto", Verdict: part.Verdict(n % 2), Reason: part.None, Software: "test",
			Trigger: part.Trigger{Sequence: part.Sequence{Value: n, Bits: 16}, PartID: fmt.Sprint("A", n), Lot: "L1", Recipe: fmt.Sprint("bracket-", n%3), UserData: fmt.Sprint("cavity ", n%4), SeenAt: begun.Add(time.Duration(n) * time.Second)}}
		if r.Verdict == part.Reject {
			r.Reason = part.Anomaly
		}
		if n == 7 {
			r.Verdict, r.Reason, r.Missed = part.Reject, part.MissedTrigger, 1
		} else {
			t := r.Trigger
			want = append(want, conveyor.Recorded{At: t.SeenAt, Seq: n, Bits: 16, Was: r.Verdict.String(), Part: plc.Part{ID: t.PartID, Lot: t.Lot, Recipe: t.Recipe, UserData: t.UserData}})
		}
		if _, err := s.Insert(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := readRecorded(t.Context(), cfg.Path)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d parts, want %d: %v", len(got), len(want), err)
	}
	for i := range want {
		if !got[i].At.Equal(want[i].At) {
			t.Errorf("part %d came at %s, want %s", i, got[i].At, want[i].At)
		}
		if got[i].At = want[i].At; got[i] != want[i] {
			t.Errorf("part %d: %+v, want %+v", i, got[i], want[i])
		}
	}
	if items := conveyor.Replay(got, 1); items[7].Missed != 1 || items[7].Part.Recipe != "bracket-2" {
		t.Errorf("after the gap: %+v", items[7])
	}
}
