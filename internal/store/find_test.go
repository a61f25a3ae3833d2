package store

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"linectl/internal/part"
)

// plant is a record of twelve parts, a minute apart.
func plant(t *testing.T) *Store {
	s := newStore(t)
	for n := range uint32(12) {
		r := good(n + 1)
		r.Trigger.PartID = fmt.Sprintf("A17-%04d", n+1)
		r.Trigger.Lot = fmt.Sprintf("L%d", n/4)
		r.Trigger.SeenAt = noon.Add(time.Duration(n) * time.Minute)
		r.Finding.Score = float64(n) / 10
		if n%3 == 0 {
			r.Verdict, r.Reason = part.Reject, part.Anomaly
		}
		if n == 7 {
			r.Finding.Recipe.Name, r.Finding.Recipe.Hash = "flange", "another"
		}
		if n == 10 {
			r.Verdict, r.Reason, r.Finding = part.Reject, part.NoFrame, nil
		}
		id := insert(t, s, r)
		switch n {
		case 4:
			s.Deliver(id, written(part.Reject, part.Deadline)) // found good, told too late
		case 10:
		default:
			s.Deliver(id, written(r.Verdict, r.Reason))
		}
	}
	s.settle(t)
	return s
}

func TestFind(t *testing.T) {
	s := plant(t)
	pass, reject := part.Pass, part.Reject
	anomaly, deadline, busy := part.Anomaly, part.Deadline, part.Busy
	number, low, high := uint32(9), 0.35, 0.65
	at := func(minute int) time.Time { return noon.Add(time.Duration(minute) * time.Minute) }
	for _, c := range []struct {
		name   string
		filter Filter
		ids    []int64
	}{
		{"all, newest first", Filter{}, []int64{12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}},
		{"the newest", Filter{Limit: 3}, []int64{12, 11, 10}},
		{"goes on", Filter{Limit: 3, Before: 10}, []int64{9, 8, 7}},
		{"since", Filter{Since: at(10)}, []int64{12, 11}},
		{"until", Filter{Until: at(2)}, []int64{2, 1}},
		{"between", Filter{Since: at(2), Until: at(4)}, []int64{4, 3}},
		{"part", Filter{Part: "A17-0007"}, []int64{7}},
		{"parts", Filter{Part: "A17-001*"}, []int64{12, 11, 10}},
		{"parts, one character", Filter{Part: "A17-000[12]"}, []int64{2, 1}},
		{"no part", Filter{Part: "A17"}, nil},
		{"lot", Filter{Lot: "L1"}, []int64{8, 7, 6, 5}},
		{"passed, as told", Filter{Verdict: &pass}, []int64{12, 9, 8, 6, 3, 2}},
		{"rejected, as told", Filter{Verdict: &reject}, []int64{11, 10, 7, 5, 4, 1}},
		{"reason", Filter{Reason: &anomaly}, []int64{10, 7, 4, 1}},
		{"reason as told", Filter{Reason: &deadline}, []int64{5}},
		{"reason that nothing has", Filter{Reason: &busy}, nil},
		{"recipe", Filter{Recipe: "flange"}, []int64{8}},
		{"hash", Filter{Hash: "another"}, []int64{8}},
		{"hash that nothing has", Filter{Recipe: "flange", Hash: "none"}, nil},
		{"hash among rejects", Filter{Hash: "another", Verdict: &reject}, nil},
		{"sequence", Filter{Sequence: &number}, []int64{9}},
		{"score from", Filter{MinScore: &high}, []int64{12, 10, 9, 8}},
		{"score to", Filter{MaxScore: &low}, []int64{4, 3, 2, 1}},
		{"score between", Filter{MinScore: &low, MaxScore: &high}, []int64{7, 6, 5}},
		{"several", Filter{Verdict: &reject, Lot: "L0"}, []int64{4, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var ids []int64
			for p, err := range s.Find(t.Context(), c.filter) {
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, p.ID)
			}
			if !slices.Equal(ids, c.ids) {
				t.Errorf("found %v, want %v", ids, c.ids)
			}
		})
	}
}

// A part id that reads as a pattern is found by what it is, where that is asked for.
func TestFindByPartIDTakesNoPattern(t *testing.T) {
	s := newStore(t)
	for n, id := range []string{"A*1", "[A]1", "AB1", "A1"} {
		r := good(uint32(n))
		r.Trigger.PartID = id
		insert(t, s, r)
	}
	reject := part.Reject
	for id, want := range map[string]int64{"A*1": 1, "[A]1": 2, "A?": 0, "A1": 4} {
		n := int64(0)
		for p, err := range s.Find(t.Context(), Filter{PartID: id}) {
			if n += p.ID; err != nil || p.PartID != id {
				t.Errorf("%q finds %+v, %v", id, p, err)
			}
		}
		if n != want {
			t.Errorf("%q finds record %d, want %d", id, n, want)
		}
		for p := range s.Find(t.Context(), Filter{PartID: id, Verdict: &reject}) {
			t.Errorf("%q is no reject, found %+v", id, p)
		}
	}
}

// A part whose id has an opened bracket is found by it.
func TestFindTakesAnOpenBracketAsItIs(t *testing.T) {
	s := newStore(t)
	r := good(1)
	r.Trigger.PartID, r.Trigger.Lot = "A[1", "L[9"
	insert(t, s, r)
	insert(t, s, good(2))
	for _, f := range []Filter{{Part: "A[1"}, {Lot: "L[9"}, {Part: "A[[]1"}} {
		n := 0
		for p, err := range s.Find(t.Context(), f) {
			if err != nil || p.PartID != "A[1" {
				t.Errorf("%+v: %+v, %v", f, p, err)
			}
			n++
		}
		if n != 1 {
			t.Errorf("%+v: %d parts", f, n)
		}
	}
}

func TestFindShowsTheWholePart(t *testing.T) {
	s := plant(t)
	want := Part{
		ID: 5, At: noon.Add(4 * time.Minute), Station: "press 4", Sequence: sequence(5), PartID: "A17-0005", Lot: "L1", Mode: "auto",
		Verdict: part.Reject, Reason: part.Deadline, Decided: part.Pass, DecidedReason: part.None,
		Score: 0.4, Threshold: 2.5, Recipe: "bracket", Version: 3, Outcome: part.Written, Total: 88 * time.Millisecond,
	}
	for p, err := range s.Find(t.Context(), Filter{Part: "A17-0005"}) {
		if err != nil || p != want {
			t.Errorf("part is\n%+v\nwant\n%+v", p, want)
		}
	}
	for p := range s.Find(t.Context(), Filter{Part: "A17-0011"}) {
		if !math.IsNaN(p.Score) || p.Outcome != "" || p.Total != 0 || p.Recipe != "" {
			t.Errorf("part is %+v", p)
		}
	}
}

func TestFindGoesOverPagesAndSeesNoRowTwice(t *testing.T) {
	s := newStore(t)
	const many = 2*page + 17
	release := holdWriter(s)
	for n := range many {
		s.writer.put("row", rowOf(good(uint32(n))))
	}
	release()
	s.settle(t)
	next := int64(many)
	for p, err := range s.Find(t.Context(), Filter{}) {
		if err != nil || p.ID != next {
			t.Fatalf("found %d, want %d: %v", p.ID, next, err)
		}
		if next == many { // rows that come meanwhile do not disturb
			insert(t, s, good(1))
		}
		next--
	}
	if next != 0 {
		t.Errorf("%d rows were not found", next)
	}
	n := 0
	for range s.Find(t.Context(), Filter{Limit: page + 1}) {
		n++
	}
	if n != page+1 {
		t.Errorf("found %d, want %d", n, page+1)
	}
}

func TestFindEndsWithTheError(t *testing.T) {
	c := configIn(t.TempDir())
	s := openStore(t, c)
	s.Close()
	n := 0
	for _, err := range s.Find(t.Context(), Filter{}) {
		if n++; err == nil {
			t.Error("a closed record answers")
		}
	}
	if n != 1 {
		t.Errorf("%d answers, want the error only", n)
	}
}

// The first part of those that are counted, not of all: a lot, a recipe and its version, an end.
func TestFirst(t *testing.T) {
	s := plant(t)
	at := func(minute int) time.Time { return noon.Add(time.Duration(minute) * time.Minute) }
	for _, c := range []struct {
		filter SlotFilter
		id     int64
		name   string
	}{
		{SlotFilter{}, 1, "A17-0001"},
		{SlotFilter{Since: at(0)}, 1, "A17-0001"},
		{SlotFilter{Lot: "L2"}, 9, "A17-0009"},
		{SlotFilter{Lot: "L[12]"}, 5, "A17-0005"},
		{SlotFilter{Recipe: "flange"}, 8, "A17-0008"},
		{SlotFilter{Recipe: "flange", Version: 4}, 0, ""},
		{SlotFilter{Lot: "L1", Until: at(4)}, 0, ""},
	} {
		if id, name, err := s.First(t.Context(), c.filter); err != nil || id != c.id || name != c.name {
			t.Errorf("%+v: record %d, %q, %v", c.filter, id, name, err)
		}
	}
}
