package store

import (
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"linectl/internal/hint"
	"linectl/internal/part"
)

func TestStoryIsWhatWasWritten(t *testing.T) {
	s := newStore(t)
	want := good(7)
	id := insert(t, s, want)
	d := written(part.Pass, part.None)
	s.Deliver(id, d)
	s.settle(t)

	got := story(t, s, id)
	if !reflect.DeepEqual(got.Record, want) {
		t.Errorf("record is\n%+v\nwant\n%+v", got.Record, want)
	}
	if len(got.Deliveries) != 1 || !reflect.DeepEqual(got.Deliveries[0].Delivery, d) {
		t.Errorf("deliveries are %+v, want %+v", got.Deliveries, d)
	}
	if got.Verdict != part.Pass || got.Reason != part.None || got.Late != nil || got.Pictures != nil {
		t.Errorf("story is %+v", got)
	}
}

func TestVerdictIsWhatThePLCWasTold(t *testing.T) {
	failed := func(v part.Verdict, r part.Reason) part.Delivery {
		d := written(v, r)
		d.Outcome, d.Error = part.Failed, "no answer"
		return d
	}
	for _, c := range []struct {
		name       string
		deliveries []part.Delivery
		verdict    part.Verdict
		reason     part.Reason
		outcome    part.Outcome
	}{
		{"nothing is known", nil, part.Pass, part.None, ""},
		{"as decided", []part.Delivery{written(part.Pass, part.None)}, part.Pass, part.None, part.Written},
		{"too late", []part.Delivery{written(part.Reject, part.Deadline)}, part.Reject, part.Deadline, part.Written},
		{"newest counts", []part.Delivery{failed(part.Pass, part.None), written(part.Reject, part.LinkLost)}, part.Reject, part.LinkLost, part.Written},
		{"a confirmed one counts more than a newer one that failed", []part.Delivery{written(part.Reject, part.Deadline), failed(part.Pass, part.None)}, part.Reject, part.Deadline, part.Written},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t)
			id := insert(t, s, good(1))
			for _, d := range c.deliveries {
				s.Deliver(id, d)
			}
			s.settle(t)
			if got := story(t, s, id); got.Verdict != c.verdict || got.Reason != c.reason {
				t.Errorf("verdict is %s %s, want %s %s", got.Verdict, got.Reason, c.verdict, c.reason)
			}
			for p, err := range s.Find(t.Context(), Filter{}) {
				if err != nil || p.Verdict != c.verdict || p.Reason != c.reason || p.Outcome != c.outcome || p.Decided != part.Pass {
					t.Errorf("part is %+v, %v", p, err)
				}
			}
		})
	}
}

func TestLateFindingIsKeptApart(t *testing.T) {
	s := newStore(t)
	id := insert(t, s, rejected(1, part.Deadline))
	late := *good(1).Finding
	late.Reason, late.Score, late.Detail = part.Anomaly, 9.5, "three patches"
	late.Stages = []part.Stage{{Name: "network", Took: 900 * time.Millisecond}}
	s.Late(id, late)
	s.settle(t)

	got := story(t, s, id)
	if got.Record.Finding != nil {
		t.Errorf("the record has a finding: %+v", got.Record.Finding)
	}
	if got.Late == nil || !reflect.DeepEqual(got.Late.Finding, late) {
		t.Errorf("late finding is %+v, want %+v", got.Late, late)
	}
	for p := range s.Find(t.Context(), Filter{}) {
		if p.Score != 9.5 || !p.Late || p.Recipe != "bracket" || p.Verdict != part.Reject || p.Reason != part.Deadline {
			t.Errorf("part is %+v", p)
		}
	}
}

func TestNumbersThatAreNoneAreNotStoredAsNumbers(t *testing.T) {
	s := newStore(t)
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		r := good(1)
		r.Verdict, r.Reason = part.Reject, part.ScoreInvalid
		r.Finding.Score, r.Finding.Threshold, r.Finding.Quality.Sharpness = v, v, v
		r.Finding.Map.Cells = []float32{float32(v), 1, 2, 3, float32(v), 5}
		f := story(t, s, insert(t, s, r)).Record.Finding
		if !math.IsNaN(f.Score) || !math.IsNaN(f.Threshold) || !math.IsNaN(f.Quality.Sharpness) {
			t.Errorf("%g came back as %+v", v, f)
		}
		if c := f.Map.Cells; !math.IsNaN(float64(c[0])) || c[1] != 1 || c[5] != 5 {
			t.Errorf("the cells came back as %v", c)
		}
	}
}

func TestRowsAreNeverChanged(t *testing.T) {
	s := newStore(t)
	id := insert(t, s, good(1))
	s.Deliver(id, written(part.Pass, part.None))
	late := insert(t, s, rejected(2, part.Deadline))
	s.Late(late, *good(2).Finding)
	s.Event("start", "linectl", "")
	s.KeepPicture(late, frame(4, 4, 1), part.Reject)
	if err := s.pictures.close(); err != nil {
		t.Fatal(err)
	}
	s.settle(t)
	for _, table := range []string{"inspection", "heatmap", "frame", "delivery", "late", "event", "recipe", "link"} {
		if rows(t, s, table) == 0 {
			t.Fatalf("%s has no row", table)
		}
		for verb, statement := range map[string]string{"changed": "UPDATE " + table + " SET rowid = rowid", "deleted": "DELETE FROM " + table} {
			if table == "frame" && verb == "changed" {
				statement = "UPDATE frame SET path = ''"
			}
			want := table + " rows are never " + verb
			if _, err := s.db.Exec(statement); err == nil || err.Error() != want {
				t.Errorf("%s: %v, want %q", statement, err, want)
			}
		}
	}
	s.pictures = newPictures(s.config, false, s.writer, s.log) // for Close
}

func TestInsertRefusesWhatContradictsItself(t *testing.T) {
	s := newStore(t)
	r := good(1)
	r.Reason = part.Anomaly
	var group sync.WaitGroup
	group.Go(func() { // beside it good rows go their way
		for n := range uint32(50) {
			if _, err := s.Insert(context.Background(), good(n)); err != nil {
				t.Error(err)
			}
		}
	})
	for range 20 {
		if _, err := s.Insert(t.Context(), r); err == nil {
			t.Error("a pass with a reason was stored")
		}
	}
	group.Wait()
	if n := rows(t, s, "inspection"); n != 50 {
		t.Errorf("there are %d rows, want 50", n)
	}
	if err := s.Healthy(); err != nil {
		t.Errorf("a bad row is not the disk's fault: %v", err)
	}
}

func TestInsertThatHasNotBegunIsNotBegun(t *testing.T) {
	s := newStore(t)
	release := holdWriter(s)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := s.Insert(ctx, good(1))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
	release()
	s.settle(t)
	if n := rows(t, s, "inspection"); n != 0 {
		t.Errorf("%d rows were written after their caller had gone", n)
	}
}

func TestAfterClose(t *testing.T) {
	c := configIn(t.TempDir())
	s := openStore(t, c)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Insert(t.Context(), good(1))
	if want := "write to the record " + c.Path + ": it is closed"; err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
	s.Deliver(1, written(part.Pass, part.None)) // no panic, and counted
	s.KeepPicture(1, frame(2, 2, 1), part.Reject)
	if pictures, notes := s.dropped(); pictures != 1 || notes != 1 {
		t.Errorf("dropped are %d pictures and %d notes, want 1 and 1", pictures, notes)
	}
}

func TestCloseWritesWhatWaits(t *testing.T) {
	c := configIn(t.TempDir())
	s := openStore(t, c)
	id := insert(t, s, rejected(1, part.Anomaly))
	release := holdWriter(s)
	for range 500 {
		s.Deliver(id, written(part.Reject, part.Anomaly))
	}
	s.KeepPicture(id, frame(64, 48, 1), part.Reject)
	time.AfterFunc(10*time.Millisecond, release)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, c)
	defer s.Close()
	if n := rows(t, s, "delivery"); n != 500 {
		t.Errorf("%d of 500 deliveries are there", n)
	}
	if n := rows(t, s, "frame"); n != 1 {
		t.Errorf("%d of 1 pictures is there", n)
	}
	if n := rows(t, s, "event"); n != 0 {
		t.Errorf("a clean stop was taken for an unclean one")
	}
}

func TestPartThatIsNotThere(t *testing.T) {
	s := newStore(t)
	_, err := s.Part(t.Context(), 12)
	if err == nil || err.Error() != "there is no record 12" || hint.KindOf(err) != hint.NoMatch {
		t.Errorf("error is %v, kind %d", err, hint.KindOf(err))
	}
}

func TestLast(t *testing.T) {
	s := newStore(t)
	last := func(want part.Count) {
		t.Helper()
		got, err := s.Last(t.Context(), "press 4")
		if err != nil || got != want {
			t.Fatalf("the record has come to %+v, %v; want %+v", got, err, want)
		}
	}
	begins := func(value uint32, fresh bool) part.Count {
		t.Helper()
		count := part.Count{Last: part.Sequence{Value: value, Bits: 16}, Fresh: fresh}
		if _, err := s.Recover(t.Context(), "press 4", part.Told{}, count); err != nil {
			t.Fatal(err)
		}
		return count
	}
	last(part.Count{})
	last(begins(40, true))
	insert(t, s, good(41))
	insert(t, s, good(42))
	other := good(7)
	other.Station = "press 5"
	insert(t, s, other)
	unknown := good(0)
	unknown.Trigger.Sequence = part.Sequence{}
	insert(t, s, unknown)
	last(part.Count{Last: part.Sequence{Value: 42, Bits: 16}})
	last(begins(3, false)) // the PLC has restarted its counter
	insert(t, s, other)
	last(part.Count{Last: part.Sequence{Value: 3, Bits: 16}})
	insert(t, s, good(4))
	last(part.Count{Last: part.Sequence{Value: 4, Bits: 16}})
}

func TestLongTextIsCutWithAMark(t *testing.T) {
	s := newStore(t)
	r := good(1)
	r.Trigger.PartID = strings.Repeat("ü", 1<<19) // 1 MB
	got := story(t, s, insert(t, s, r)).Record.Trigger.PartID
	if len(got) > textLimit || !strings.Contains(got, "… [cut: 1048576 bytes, SHA-256 ") || !strings.HasPrefix(got, "üüü") || strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("part id is %d bytes: %.20s … %s", len(got), got, got[len(got)-100:])
	}
	r.Trigger.PartID += "x"
	if story(t, s, insert(t, s, r)).Record.Trigger.PartID == got {
		t.Error("two long texts became the same")
	}
}

// FuzzHostileText stores any text and finds it again, byte for byte.
func FuzzHostileText(f *testing.F) {
	for _, text := range []string{"", "A17", "'; DROP TABLE inspection; --", "\x00", "a\x00b", "\xff\xfe", "ü", "*?[a]", "%s%n", "\U0001F600", strings.Repeat("a", 5000), `{"a":1}`} {
		f.Add(text)
	}
	s := newStore(f)
	f.Fuzz(func(t *testing.T, text string) {
		r := good(1)
		r.Trigger.PartID, r.Trigger.Lot, r.Trigger.Recipe, r.Detail, r.Station = text, text, text, text, text
		r.Finding.Recipe.Name = text
		id := insert(t, s, r)
		s.Deliver(id, part.Delivery{Outcome: part.Failed, Error: text, Reason: part.LinkLost, Stages: []part.Stage{{Name: "grab"}}})
		s.settle(t)
		got := story(t, s, id)
		want := fit(text)
		for _, field := range []string{got.Record.Trigger.PartID, got.Record.Trigger.Lot, got.Record.Trigger.Recipe, got.Record.Detail, got.Record.Station, got.Record.Finding.Recipe.Name, got.Deliveries[0].Error} {
			if field != want {
				t.Fatalf("%q came back as %q", want, field)
			}
		}
		if _, err := s.Recover(t.Context(), text, part.Told{Sequence: part.Sequence{Value: 1, Bits: 16}, PartID: text, Valid: true}, part.Count{}); err != nil {
			t.Fatal(err)
		}
		for p, err := range s.Find(t.Context(), Filter{Part: text, Limit: 1}) {
			if err != nil {
				t.Fatal(err)
			}
			if text != "" && !strings.ContainsAny(text, "*?[") && p.PartID != want {
				t.Fatalf("asked for %q, found %q", text, p.PartID)
			}
		}
	})
}
