package store

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"linectl/internal/part"
)

// TestTheClockJumpsBothWays: a wall clock that was wrong for a while loses no row, breaks no chain, ages no
// picture and hides no part from a question.
func TestTheClockJumpsBothWays(t *testing.T) {
	c := configIn(t.TempDir())
	c.PassDays, c.RejectDays, c.Keep, c.PictureQueue = 1, 1, KeepAll, 50
	s := openStore(t, c)
	clock := []time.Time{noon, noon.AddDate(10, 0, 0), time.Unix(0, 0), noon.AddDate(-3, 0, 0), noon.AddDate(0, 0, 1), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), noon}
	var wall atomic.Pointer[time.Time]
	wall.Store(&noon)
	s.seals.now = func() time.Time { return *wall.Load() }
	for i, now := range clock {
		wall.Store(&now)
		for n := range uint32(3) {
			r := good(uint32(i)*3 + n)
			r.Trigger.SeenAt = now
			id := insert(t, s, r)
			s.Deliver(id, written(part.Pass, part.None))
			s.KeepPicture(id, frame(4, 4, int(id)), part.Pass)
		}
	}
	last, err := s.Last(t.Context(), "press 4")
	if err != nil || last.Last.Value != uint32(3*len(clock)-1) {
		t.Errorf("counted up to %+v, %v", last, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	v, problems := verify(t, c, VerifyOptions{Read: true})
	if problems != nil || v.Parts != int64(3*len(clock)) || v.Pictures != v.Parts {
		t.Errorf("%+v, %v", v, problems)
	}
	r, err := OpenReader(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	count := func(f Filter) (n int64, ids []int64) {
		for p, err := range r.Find(t.Context(), f) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			ids = append(ids, p.ID)
		}
		return n, ids
	}
	if n, ids := count(Filter{}); n != v.Parts || ids[0] != v.Parts || ids[n-1] != 1 {
		t.Errorf("%d parts: %v", n, ids)
	}
	if n, _ := count(Filter{Since: noon, Until: noon.Add(time.Second)}); n != 6 {
		t.Errorf("%d parts at noon, want those before and after the jumps", n)
	}
	slots, err := r.Slots(t.Context(), SlotFilter{})
	if err != nil {
		t.Fatal(err)
	}
	var counted int64
	for i, slot := range slots {
		if counted += slot.Parts; i > 0 && slot.At.Before(slots[i-1].At) {
			t.Error("the counts are out of order")
		}
	}
	if counted != v.Parts {
		t.Errorf("%d parts counted", counted)
	}
	path, made := exportOf(t, c, Filter{Lot: "L9"})
	if e, problems, err := verifyExport(t, path, VerifyOptions{}); err != nil || problems != nil || e.Parts != made.Parts {
		t.Errorf("%+v, %v, %v", e, problems, err)
	}
	pruned, err := openPen(t, c).Prune(t.Context(), false)
	if err != nil || pruned.Removed() != 0 || pruned.Orphans != 0 || pruned.Kept != v.Parts {
		t.Errorf("%+v, %v", pruned, err)
	}
	left, err := filepath.Glob(c.Pictures + "/*/*/*/*.jpg")
	if err != nil || int64(len(left)) != v.Parts {
		t.Errorf("%d pictures left", len(left))
	}
}
