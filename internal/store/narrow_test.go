package store

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"linectl/internal/part"
)

// jumping is a record of a line whose clock is set again and again, so that the order of its ids is not that of time.
func jumping(t *testing.T, random *rand.Rand) *Store {
	s := newStore(t)
	for n := range uint32(120) {
		r := good(n)
		r.Trigger.PartID = fmt.Sprintf("P%d-%03d", random.IntN(3), n)
		r.Trigger.Lot = fmt.Sprintf("L%d", n/20)
		r.Trigger.SeenAt = noon.Add(time.Duration(n)*time.Minute + time.Duration(random.IntN(3)-1)*time.Hour*time.Duration(n%7/5))
		r.Finding.Score = random.Float64()
		r.Finding.Recipe.Name, r.Finding.Recipe.Version = "bracket", 1+int(n)/50
		told := written(part.Pass, part.None)
		switch random.IntN(5) {
		case 0:
			r.Verdict, r.Reason = part.Reject, part.Anomaly
			told = written(r.Verdict, r.Reason)
		case 1:
			told = written(part.Reject, part.Deadline)
		case 2:
			late := *r.Finding
			late.Recipe.Name = "flange"
			r.Verdict, r.Reason, r.Finding = part.Reject, part.Deadline, nil
			id := insert(t, s, r)
			s.Deliver(id, written(r.Verdict, r.Reason))
			s.Late(id, late)
			continue
		}
		s.Deliver(insert(t, s, r), told)
	}
	s.settle(t)
	return s
}

// matches is a filter without SQL.
func (f Filter) matches(p Part) bool {
	text := func(asked, is string) bool {
		ok, err := path.Match(asked, is)
		return asked == "" || ok && err == nil
	}
	return (f.Since.IsZero() || !p.At.Before(f.Since)) && (f.Until.IsZero() || p.At.Before(f.Until)) && text(f.Part, p.PartID) && text(f.Lot, p.Lot) &&
		(f.Verdict == nil || *f.Verdict == p.Verdict) && (f.Reason == nil || *f.Reason == p.Reason) && (f.Recipe == "" || f.Recipe == p.Recipe) &&
		(f.Version == 0 || f.Version == p.Version) && (f.MinScore == nil || p.Score >= *f.MinScore) && (f.Before == 0 || p.ID < f.Before)
}

// However far the indexes are asked first, the answer is that of looking at every part.
func TestNarrowLosesNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	s := jumping(t, random)
	var all []Part
	for p, err := range s.Find(t.Context(), Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	verdicts, reasons, half := []part.Verdict{part.Pass, part.Reject}, []part.Reason{part.None, part.Anomaly, part.Deadline, part.Busy}, 0.5
	chosen := func(one int) bool { return random.IntN(one) == 0 }
	for range 200 {
		var f Filter
		if chosen(2) {
			f.Since = noon.Add(time.Duration(random.IntN(150)-20) * time.Minute)
		}
		if chosen(2) {
			f.Until = noon.Add(time.Duration(random.IntN(150)-20) * time.Minute)
		}
		if chosen(3) {
			f.Part = []string{"P0-*", "P1-*", "*5", "P2-01[0-9]", "P0-001", "X*"}[random.IntN(6)]
		}
		if chosen(3) {
			f.Lot = []string{"L*", "L1", "L[34]", "M*"}[random.IntN(4)]
		}
		if chosen(2) {
			f.Verdict = &verdicts[random.IntN(2)]
		}
		if chosen(3) {
			f.Reason = &reasons[random.IntN(4)]
		}
		if chosen(3) {
			f.Recipe = []string{"bracket", "flange", "nothing"}[random.IntN(3)]
		}
		if chosen(4) {
			f.Version = random.IntN(4)
		}
		if chosen(4) {
			f.MinScore = &half
		}
		if chosen(4) {
			f.Before = int64(random.IntN(150))
		}
		var want []int64
		for _, p := range all {
			if f.matches(p) {
				want = append(want, p.ID)
			}
		}
		for _, n := range []narrowing{usual, {few: 0, most: 1000}, {few: 0, most: 10}, {few: 5, most: 30}} {
			narrow, ok, err := s.narrow(t.Context(), f, n)
			if err != nil {
				t.Fatal(err)
			}
			var listed, shown []int64
			if ok {
				query, args := narrow.ids()
				if listed, err = s.scanIDs(t.Context(), query, append(args, len(all))...); err != nil {
					t.Fatal(err)
				}
				parts, err := s.page(t.Context(), narrow, len(all))
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range parts {
					shown = append(shown, p.ID)
				}
			}
			if !slices.Equal(listed, want) || !slices.Equal(shown, want) {
				t.Errorf("%+v, %+v: %v and %v, want %v", f, n, listed, shown, want)
			}
		}
	}
}

// What is due for a review is looked up, however few of how many parts it is.
func TestDueIsLookedUp(t *testing.T) {
	s := newStore(t)
	for n := range uint32(30) {
		r := good(n)
		told := written(part.Pass, part.None)
		switch n {
		case 3, 20:
			r.Verdict, r.Reason = part.Reject, part.Anomaly
			told = written(r.Verdict, r.Reason)
		case 4: // found in shadow
			r.Verdict, r.Reason = part.Reject, part.Anomaly
			told = written(part.Reject, part.Shadow)
		case 5, 21:
			r.Finding.Review = true
		case 6:
			told = written(part.Reject, part.Deadline)
		}
		s.Deliver(insert(t, s, r), told)
	}
	for _, id := range []int64{21, 22} {
		if err := s.Review(t.Context(), id, Opinion{Verdict: ReviewGood, Who: "eva"}); err != nil {
			t.Fatal(err)
		}
	}
	for f, want := range map[Filter][]int64{
		{Review: ReviewDue}: {6, 5, 4}, {Review: ReviewDue, Lot: "L9"}: {6, 5, 4}, {Review: ReviewDue, Since: noon, Limit: 2}: {6, 5}, {Review: ReviewDue, Version: 9}: nil,
	} {
		for _, n := range []narrowing{usual, {few: 0, most: 3}} {
			narrow, ok, err := s.narrow(t.Context(), f, n)
			if err != nil {
				t.Fatal(err)
			}
			var found []int64
			if ok {
				query, args := narrow.ids()
				if found, err = s.scanIDs(t.Context(), query, append(args, cmp.Or(f.Limit, 99))...); err != nil {
					t.Fatal(err)
				}
				if n == usual && f.Lot == "" {
					plan(t, s, query, append(args, 1), "SEARCH i USING INTEGER PRIMARY KEY")
				}
			}
			if !slices.Equal(found, want) {
				t.Errorf("%+v, %+v: %v, want %v", f, n, found, want)
			}
		}
	}
}

// plan holds how SQLite means to answer against what it should begin with.
func plan(t *testing.T, s *Store, query string, args []any, begins string) {
	t.Helper()
	var id, parent, unused int
	var detail string
	if err := s.Reader.db.QueryRow("EXPLAIN QUERY PLAN "+query, args...).Scan(&id, &parent, &unused, &detail); err != nil || !strings.HasPrefix(detail, begins) {
		t.Errorf("%s: it begins with %s, %v", query, detail, err)
	}
}
