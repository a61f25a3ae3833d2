package store

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"linectl/internal/part"
)

// shelves is a record of ten days with four parts a day: a pass, a sampled pass (every 4th row), a
// pass of lot "held", a reject; every one with its picture.
func shelves(t *testing.T, c Config) {
	t.Helper()
	c.Keep = KeepAll
	s := openStore(t, c)
	var today atomic.Int64
	s.seals.now = func() time.Time { return noon.AddDate(0, 0, int(today.Load())) }
	s.seals.day = dayOf(noon)
	for day := range 10 {
		today.Store(int64(day))
		for n := range uint32(4) {
			r := good(uint32(4*day) + n)
			switch n {
			case 1:
				r.Trigger.Lot = "held"
			case 2:
				r.Verdict, r.Reason = part.Reject, part.Anomaly
			}
			id := insert(t, s, r)
			s.KeepPicture(id, frame(16, 16, int(id)), r.Verdict)
			for stored := false; !stored; {
				if err := s.Reader.db.QueryRow(`SELECT EXISTS (SELECT 1 FROM frame WHERE inspection_id = ?)`, id).Scan(&stored); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Millisecond)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func openPen(t *testing.T, c Config) *Pen {
	t.Helper()
	p, err := OpenPen(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// pictureFiles are the ids of the parts that have a picture file.
func pictureFiles(t *testing.T, c Config) []int {
	t.Helper()
	files, err := filepath.Glob(c.Pictures + "/*/*/*/*")
	if err != nil {
		t.Fatal(err)
	}
	ids := map[int]bool{}
	for _, f := range files {
		var id int
		fmt.Sscanf(filepath.Base(f), "%d-", &id)
		ids[id] = true
	}
	return slices.Sorted(maps.Keys(ids))
}

func TestPruneByValue(t *testing.T) {
	c := configIn(t.TempDir())
	c.Sample = 4 // rows 4, 8, … are samples; 1, 5, … passes; 2, 6, … held; 3, 7, … rejects
	shelves(t, c)
	p := openPen(t, c)
	if err := p.Hold(t.Context(), "held", true, "eva", "complaint 17"); err != nil {
		t.Fatal(err)
	}
	if err := p.Review(t.Context(), 5, Opinion{Verdict: ReviewGood, Who: "eva", Why: ""}); err != nil {
		t.Fatal(err)
	}
	step := func(name string, change func(), want Pruning, stay func(id int) bool) {
		t.Helper()
		change()
		p.config = c
		before := pictureFiles(t, c)
		dry, err := p.Prune(t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		if got := pictureFiles(t, c); !slices.Equal(got, before) {
			t.Errorf("%s: a dry run removed files: %v", name, got)
		}
		got, err := p.Prune(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		if got != dry {
			t.Errorf("%s: the dry run said %+v, then it was %+v", name, dry, got)
		}
		if got.Passes != want.Passes || got.Samples != want.Samples || got.Rejects != want.Rejects || got.Kept != want.Kept || got.Protected != want.Protected {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
		var left []int
		for id := 1; id <= 40; id++ {
			if stay(id) {
				left = append(left, id)
			}
		}
		if files := pictureFiles(t, c); !slices.Equal(files, left) {
			t.Errorf("%s: pictures of %v are left, want %v", name, files, left)
		}
		if _, problems := verify(t, c, VerifyOptions{Read: true}); problems != nil {
			t.Errorf("%s: %v", name, problems)
		}
	}
	guarded := func(id int) bool { return id%4 == 2 || id == 5 }
	step("nothing is old", func() { c.PassDays, c.RejectDays = 20, 20 }, Pruning{Kept: 40, Protected: 11}, func(int) bool { return true })
	// The newest seal was made on the tenth day: one day old is all up to the ninth.
	step("passes by age", func() { c.PassDays = 3 }, Pruning{Passes: 6, Kept: 34, Protected: 11}, func(id int) bool { return id%4 != 1 || id > 28 || guarded(id) })
	step("rejects and samples by age", func() { c.RejectDays = 8 }, Pruning{Samples: 2, Rejects: 2, Kept: 30, Protected: 11},
		func(id int) bool {
			return guarded(id) || id%4 == 1 && id > 28 || (id%4 == 0 || id%4 == 3) && id > 8
		})
	step("a quota takes passes, then samples, never rejects", func() { c.Quota = 1 }, Pruning{Passes: 3, Samples: 8, Kept: 19, Protected: 11},
		func(id int) bool { return guarded(id) || id%4 == 3 && id > 8 })
	if got, err := p.Prune(t.Context(), true); err != nil || got.Over <= 0 || got.Removed() != 0 {
		t.Errorf("what may not be removed: %+v, %v", got, err)
	}
	if err := p.Hold(t.Context(), "held", false, "eva", "settled"); err != nil {
		t.Fatal(err)
	}
	step("a lot that is let go", func() {}, Pruning{Passes: 10, Kept: 9, Protected: 1}, func(id int) bool { return id == 5 || id%4 == 3 && id > 8 })
}

// Whoever asks to keep a picture after it was chosen and before its removal is written is heard, and what another pruner
// has removed meanwhile is no error.
func TestPruneLooksAgain(t *testing.T) {
	c := configIn(t.TempDir())
	c.Sample, c.Quota = 0, 1
	shelves(t, c)
	p := openPen(t, c)
	interrupted := func(meanwhile func() error) commit {
		done := false
		return func(ctx context.Context, name string, do func(*ledger) error) error {
			if !done {
				done = true
				if err := meanwhile(); err != nil {
					t.Error(err)
				}
			}
			return p.commit(ctx, name, do)
		}
	}
	got, err := prune(t.Context(), p.Reader, c, interrupted(func() error { return p.Hold(t.Context(), "held", true, "eva", "") }), false)
	if err != nil || got.Passes != 20 || got.Kept != 20 || got.Protected != 10 || got.Over != got.KeptBytes-1 {
		t.Errorf("with a lot held meanwhile: %+v, %v", got, err)
	}
	if err := p.Hold(t.Context(), "held", false, "eva", ""); err != nil {
		t.Fatal(err)
	}
	var other Pruning
	got, err = prune(t.Context(), p.Reader, c, interrupted(func() (err error) { other, err = prune(t.Context(), p.Reader, c, p.commit, false); return err }), false)
	if err != nil || other.Passes != 10 || got.Removed() != 0 || got.Kept != 10 || got.KeptBytes != other.KeptBytes {
		t.Errorf("the one %+v, the other %+v, %v", other, got, err)
	}
	if _, problems := verify(t, c, VerifyOptions{Read: true}); problems != nil {
		t.Error(problems)
	}
}

// In shadow the PLC is told reject of every part; pictures are worth what inspection found.
func TestPruneInShadow(t *testing.T) {
	c := configIn(t.TempDir())
	c.Keep, c.Quota, c.Sample = KeepAll, 1, 0
	s := openStore(t, c)
	for n := range uint32(4) {
		r := good(n)
		r.Mode = "shadow"
		if n%2 == 1 {
			r.Verdict, r.Reason = part.Reject, part.Anomaly
		}
		id := insert(t, s, r)
		s.Deliver(id, written(part.Reject, part.Shadow))
		s.KeepPicture(id, frame(8, 8, int(n)), r.Verdict)
		s.settle(t)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := openPen(t, c).Prune(t.Context(), false); err != nil || got.Passes != 2 || got.Rejects != 0 || got.Kept != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	if left := pictureFiles(t, c); !slices.Equal(left, []int{2, 4}) {
		t.Errorf("pictures of %v are left", left)
	}
}

// A wall clock that jumps ten years ahead and back makes nothing older.
func TestPruneHasItsOwnCalendar(t *testing.T) {
	c := configIn(t.TempDir())
	c.Keep, c.PassDays, c.Sample = KeepAll, 3, 0
	s := openStore(t, c)
	var wall atomic.Pointer[time.Time]
	wall.Store(&noon)
	s.seals.now = func() time.Time { return *wall.Load() }
	s.seals.day = dayOf(noon)
	for n, at := range []time.Time{noon, noon.AddDate(10, 0, 0), noon.Add(time.Hour)} {
		wall.Store(&at)
		s.KeepPicture(insert(t, s, good(uint32(n))), frame(8, 8, n), part.Pass)
		s.settle(t)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	p := openPen(t, c)
	if got, err := p.Prune(t.Context(), true); err != nil || got.Removed() != 0 || got.Kept != 3 {
		t.Errorf("%+v, %v", got, err)
	}
}

// A machine without a battery starts in 1970 each time, until it has found the time: twenty starts within two days
// are two days, and that of 1970.
func TestPruneCountsDaysAndNotStarts(t *testing.T) {
	c := configIn(t.TempDir())
	c.Keep, c.PassDays, c.Sample, c.PictureQueue = KeepAll, 4, 0, 50
	s := openStore(t, c)
	var wall atomic.Pointer[time.Time]
	wall.Store(&noon)
	s.seals.now = func() time.Time { return *wall.Load() }
	s.seals.day = dayOf(noon)
	for start := range 20 {
		for n, at := range []time.Time{time.Unix(5, 0), noon.AddDate(0, 0, start/10)} {
			wall.Store(&at)
			s.KeepPicture(insert(t, s, good(uint32(2*start+n))), frame(8, 8, n), part.Pass)
			s.settle(t)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	p := openPen(t, c)
	if got, err := p.Prune(t.Context(), true); err != nil || got.Removed() != 0 || got.Kept != 40 {
		t.Errorf("%+v, %v", got, err)
	}
	if f, err := p.Forecast(t.Context(), c); err != nil || f.Days != 1 {
		t.Errorf("%+v, %v", f, err)
	}
}

// Pictures on a disk of their own fill that one.
func TestForecastOfEachDisk(t *testing.T) {
	c := configIn(t.TempDir())
	c.Sample = 4
	shelves(t, c)
	p := openPen(t, c)
	one, err := p.Forecast(t.Context(), c)
	if err != nil || len(one.Disks) != 1 || one.Days != 7 || one.First().DaysLeft <= 0 {
		t.Fatalf("%+v, %v", one, err)
	}
	shm, err := os.MkdirTemp("/dev/shm", "linectl")
	if err != nil || !onDiskOfItsOwn(shm, filepath.Dir(c.Path)) {
		t.Skip("there is no second disk:", err)
	}
	t.Cleanup(func() { os.RemoveAll(shm) })
	c.Pictures = shm
	two, err := p.Forecast(t.Context(), c)
	if err != nil || len(two.Disks) != 2 {
		t.Fatalf("%+v, %v", two, err)
	}
	if record, pictures := two.Disks[0], two.Disks[1]; record.PerDay != 4*bytesPerPart || pictures.PerDay == 0 || pictures.Folder != shm ||
		pictures.DaysLeft == record.DaysLeft || two.First().DaysLeft != min(record.DaysLeft, pictures.DaysLeft) {
		t.Errorf("%+v", two)
	}
}

func TestSweepMovesOrphansOnly(t *testing.T) {
	c := configIn(t.TempDir())
	c.Sample = 4
	shelves(t, c)
	folder := filepath.Join(c.Pictures, "2026", "11", "23")
	for _, f := range []string{folder, filepath.Join(c.Pictures, "lost+found"), filepath.Join(c.Pictures, ".snapshot", "2026", "11", "23"), filepath.Join(c.Pictures, orphans, "2026", "11", "23")} {
		if err := os.MkdirAll(f, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(c.Pictures, "lost+found"), 0); err != nil { // as on a disk of its own
		t.Fatal(err)
	}
	for _, path := range []string{folder + "/7-lost.png", folder + "/8-lost.jpg", folder + "/41-coming.png", folder + "/notes.txt", folder + "/7-lost.png.bak",
		c.Pictures + "/.snapshot/2026/11/23/7-lost.png", c.Pictures + "/orphans/2026/11/23/7-lost.png"} {
		if err := os.WriteFile(path, []byte(path), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := openPen(t, c)
	dry, err := p.Prune(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	var got Pruning
	letOthersEnter(t, c.Pictures)
	asNobody(t, func() { _, err = p.Prune(t.Context(), true) })
	if err != nil {
		t.Errorf("lost+found: %v", err)
	}
	if got, err = p.Prune(t.Context(), false); err != nil || got.Orphans != 2 || got.OrphansKept != 3 || got.OrphanBytes < 100 || got.Kept != 40 || got != dry {
		t.Fatalf("%+v, and in a dry run %+v, %v", got, dry, err)
	}
	names := func(folder string) (names []string) {
		entries, _ := os.ReadDir(folder)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	if left := names(folder); strings.Join(left, " ") != "41-coming.png 7-lost.png.bak notes.txt" {
		t.Errorf("left are %v", left)
	}
	if moved := names(filepath.Join(c.Pictures, orphans, "2026", "11", "23")); strings.Join(moved, " ") != "7-lost.png 7-lost.png.2 8-lost.jpg" {
		t.Errorf("orphans are %v", moved)
	}
	if found := names(filepath.Join(c.Pictures, ".snapshot", "2026", "11", "23")); len(found) != 1 {
		t.Error("a snapshot was touched")
	}
	if log, err := p.Events(t.Context(), time.Time{}, time.Time{}, 1); err != nil || log[0].Kind != "pictures-orphaned" || !strings.HasPrefix(log[0].Detail, "2 files") {
		t.Errorf("the log book says %+v, %v", log, err)
	}
	picturesHaveFiles(t, openStoreFor(t, c))
}

// A removal that a crash cut off is brought to its end.
func TestSweepRemovesWhatHasARemoval(t *testing.T) {
	c := configIn(t.TempDir())
	c.Sample = 4
	shelves(t, c)
	files := pictureFiles(t, c)
	p := openPen(t, c)
	if err := p.commit(t.Context(), "test", func(tx *ledger) error {
		_, err := tx.add(removals, noon.UnixMicro(), int64(files[2]), "age")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got, err := p.Prune(t.Context(), false); err != nil || got.Orphans != 0 || got.Kept != 39 {
		t.Fatalf("%+v, %v", got, err)
	}
	if got := pictureFiles(t, c); len(got) != 39 || slices.Contains(got, files[2]) {
		t.Errorf("left are %v", got)
	}
}

// Where the record is lost, or an older copy takes its place, the pictures of the one before stay: whatever ids the new
// one gives, on whatever day.
func TestAnotherRecordsPicturesStay(t *testing.T) {
	c := configIn(t.TempDir())
	c.Sample = 4
	shelves(t, c)
	was := map[string][]byte{}
	files, err := filepath.Glob(c.Pictures + "/*/*/*/*")
	if err != nil || len(files) != 40 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if was[f], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(c.Path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{"-wal", "-shm"} {
		if err := removeIfThere(c.Path + end); err != nil {
			t.Fatal(err)
		}
	}
	c.PictureQueue = 50
	s := openStore(t, c)
	var log []Event
	waitFor(t, func() bool {
		log, err = s.Events(t.Context(), time.Time{}, time.Time{}, 1)
		return err != nil || len(log) > 0
	})
	if err != nil || len(log) != 1 || log[0].Kind != "record-begun" || !strings.Contains(log[0].Detail, c.Pictures) {
		t.Errorf("the log book says %+v, %v", log, err)
	}
	for n := range uint32(41) {
		s.KeepPicture(insert(t, s, good(n)), frame(8, 8, 200), part.Reject)
		s.settle(t)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := openPen(t, c).Prune(t.Context(), false); err != nil || got.OrphansKept != 40 {
		t.Errorf("%+v, %v", got, err)
	}
	for f, data := range was {
		name, err := filepath.Rel(c.Pictures, f)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(c.Pictures, orphans, name)); err != nil || !slices.Equal(got, data) {
			t.Errorf("%s is not what it was: %v", name, err)
		}
	}
	if v, problems := verify(t, c, VerifyOptions{Read: true}); problems != nil || v.Pictures != 41 {
		t.Errorf("%+v, %v", v, problems)
	}
}

func openStoreFor(t *testing.T, c Config) *Store {
	s := openStore(t, c)
	t.Cleanup(func() { s.Close() })
	return s
}

func TestReviewIsAddedBesideTheDaemon(t *testing.T) {
	c := configIn(t.TempDir())
	s := openStoreFor(t, c)
	id := insert(t, s, rejected(1, part.Anomaly))
	p := openPen(t, c)
	for n := range 20 { // both write in turn, and the chain holds
		if err := p.Review(t.Context(), id, Opinion{Verdict: []Review{ReviewBad, ReviewGood}[n%2], Who: "eva", Why: "'; DROP TABLE review; --"}); err != nil {
			t.Fatal(err)
		}
		insert(t, s, good(uint32(n+2)))
	}
	if err := s.Review(t.Context(), 2, Opinion{Verdict: ReviewBad, Who: "ben", Why: "scratch"}); err != nil {
		t.Fatal(err)
	}
	for _, o := range []Opinion{{Verdict: "nice", Who: "eva"}, {Verdict: ReviewGood}} {
		if err := p.Review(t.Context(), id, o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	if err := p.Review(t.Context(), 999, Opinion{Verdict: ReviewGood, Who: "eva", Why: ""}); err == nil || !strings.Contains(err.Error(), "there is no record 999") {
		t.Errorf("error is %v", err)
	}
	for asked, want := range map[Review]int{ReviewGood: 1, ReviewBad: 1, ReviewUnsure: 0, ReviewNone: 19, ReviewDue: 0} {
		n := 0
		for _, err := range s.Find(t.Context(), Filter{Review: asked}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != want {
			t.Errorf("%d parts are reviewed as %q, want %d", n, asked, want)
		}
	}
	rates, err := s.ReviewRates(t.Context(), SlotFilter{})
	if err != nil || len(rates) != 1 || rates[0] != (Rates{"bracket", 3, 0, 0, 1, 1}) { // the reject was not inspected: no recipe
		t.Errorf("rates are %+v, %v", rates, err)
	}
	if rates, err := s.ReviewRates(t.Context(), SlotFilter{Version: 2}); err != nil || rates != nil {
		t.Errorf("rates of a version that there is not are %+v, %v", rates, err)
	}
	if v, problems := verify(t, c, VerifyOptions{}); problems != nil || v.Links < 40 {
		t.Errorf("%+v: %v", v, problems)
	}
}
