package store

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"linectl/internal/hint"
	"linectl/internal/part"
)

// TestBackupWhileTheLineRuns: copies made under load verify and can be restored; later ones bring only
// the pictures that are new.
func TestBackupWhileTheLineRuns(t *testing.T) {
	c := configIn(t.TempDir())
	s := openStoreFor(t, c)
	var group sync.WaitGroup
	var ended atomic.Bool
	var first atomic.Int64
	group.Go(func() {
		for n := uint32(0); !ended.Load(); n++ {
			id, err := s.Insert(context.Background(), rejected(n, part.Anomaly))
			if err != nil {
				t.Error(err)
				return
			}
			s.Deliver(id, written(part.Reject, part.Anomaly))
			if n%8 == 0 {
				s.KeepPicture(id, frame(16, 16, int(n)), part.Reject)
			}
			first.CompareAndSwap(0, id)
		}
	})
	for first.Load() == 0 || rows(t, s, "frame") < 3 {
		time.Sleep(time.Millisecond)
	}
	folder := filepath.Join(t.TempDir(), "copies")
	var copies []Copied
	for n := range 3 {
		made, err := s.Backup(t.Context(), folder, 2, noon.Add(time.Duration(n)*time.Hour), func(p string) { t.Error(p) })
		if err != nil {
			t.Fatal(err)
		}
		if made.Missing != 0 || n > 0 && made.Present < copies[n-1].Pictures+copies[n-1].Present {
			t.Errorf("copy %d: %+v after %+v", n, made, copies)
		}
		copies = append(copies, made)
	}
	ended.Store(true)
	group.Wait()
	if names := namesIn(t, folder); !slices.Equal(names, []string{"pictures", filepath.Base(copies[1].File), filepath.Base(copies[2].File)}) {
		t.Errorf("the copies are %v", names)
	}

	place := configIn(t.TempDir())
	restored, err := Restore(t.Context(), place, folder, func(p string) { t.Error(p) })
	if err != nil || restored.Pictures != copies[2].Pictures+copies[2].Present || restored.UUID != copies[2].UUID || restored.Links != copies[2].Links || !restored.Until.Equal(noon) {
		t.Fatalf("%+v, %v", restored, err)
	}
	if v, problems := verify(t, place, VerifyOptions{Read: true}); problems != nil || v.Parts == 0 || v.Pictures == 0 {
		t.Errorf("%+v: %v", v, problems)
	}
	again := openStore(t, place)
	countsFit(t, again.Reader)
	if n := rows(t, again, "event"); n != 0 {
		t.Error("a restored record counts as one that was not closed")
	}
	insert(t, again, good(1))
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), place, folder, nil); err == nil || !strings.HasSuffix(err.Error(), "is there already") {
		t.Errorf("error is %v", err)
	}
}

// A copy that was changed is not restored, and leaves nothing behind that looks like a record.
func TestRestoreRefusesWhatDoesNotVerify(t *testing.T) {
	c := configIn(t.TempDir())
	evidence(t, c, nil)
	r, err := OpenReader(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	folder := t.TempDir()
	made, err := r.Backup(t.Context(), folder, 7, noon, nil)
	if err != nil {
		t.Fatal(err)
	}
	tamper(t, made.File, "UPDATE inspection SET lot = 'L8' WHERE id = 6")
	place := configIn(t.TempDir())
	var problems []string
	_, err = Restore(t.Context(), place, made.File, func(p string) { problems = append(problems, p) })
	if hint.KindOf(err) != hint.Damage || len(problems) == 0 || !strings.HasPrefix(problems[0], "inspection 6: changed") {
		t.Errorf("%v: %v", err, problems)
	}
	if _, err := os.Stat(place.Path); err == nil {
		t.Error("the record was restored")
	}
	if _, err := Restore(t.Context(), place, t.TempDir(), nil); hint.KindOf(err) != hint.NoMatch {
		t.Errorf("error is %v", err)
	}
}

func namesIn(t *testing.T, folder string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// The wall clock of a line may be wrong, and a folder may hold the copies of a record before: what is newest, and what may
// go, is in the copies themselves.
func TestBackupForgetsOnlyWhatTheNewCopyHolds(t *testing.T) {
	folder := t.TempDir()
	told := func(problem string) { t.Error(problem) }
	sequence := uint32(0)
	backup := func(s *Store, at time.Time) Copied {
		sequence++
		insert(t, s, good(sequence))
		made, err := s.Backup(t.Context(), folder, 3, at, told)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	copies := func(want ...Copied) {
		t.Helper()
		var names []string
		for _, w := range want {
			names = append(names, filepath.Base(w.File))
		}
		slices.Sort(names)
		if got := namesIn(t, folder); !slices.Equal(got, names) {
			t.Errorf("the copies are %v, want %v", got, names)
		}
	}
	restore := func(from string) (Config, Copied, error) {
		place := configIn(t.TempDir())
		c, err := Restore(t.Context(), place, from, told)
		return place, c, err
	}
	s := newStore(t)
	ahead := backup(s, noon.AddDate(70, 0, 0)) // the clock was wrong once
	first, second := backup(s, noon), backup(s, noon.Add(time.Hour))
	copies(ahead, first, second)
	back := backup(s, time.Unix(5, 0)) // the battery of the clock is empty
	copies(first, second, back)
	if _, c, err := restore(folder); err != nil || c.File != back.File || c.Links != back.Links || c.UUID != back.UUID {
		t.Errorf("restored %+v, %v; the newest is %+v", c, err, back)
	}

	// A new record, as after one that was damaged, leaves the copies of the old one alone.
	other := newStore(t)
	var others []Copied
	for n := range 4 {
		others = append(others, backup(other, noon.AddDate(0, 0, 1+n)))
	}
	copies(append(others[1:], first, second, back)...)
	_, _, err := restore(folder)
	if err == nil || hint.KindOf(err) != hint.Usage || !strings.Contains(err.Error(), filepath.Base(back.File)+" (record "+back.UUID) || !strings.Contains(err.Error(), filepath.Base(others[3].File)+" (record "+others[3].UUID) {
		t.Errorf("error is %v", err)
	}
	place, c, err := restore(second.File)
	if err != nil || c.UUID != second.UUID || c.Links != second.Links {
		t.Fatalf("restored %+v, %v", c, err)
	}

	// Nor does a record that was restored from an older copy displace what it does not go on from.
	again := openStore(t, place)
	defer again.Close()
	var onward []Copied
	for n := range 4 {
		onward = append(onward, backup(again, noon.AddDate(0, 1, n)))
	}
	copies(append(append(others[1:], onward[1:]...), back)...)
}

func TestBackupRemovesWhatAKilledOneLeft(t *testing.T) {
	s, folder := newStore(t), t.TempDir()
	left := filepath.Join(folder, "record-"+s.seals.uuid+".unfinished")
	foreign := filepath.Join(folder, "record-another.unfinished")
	unreadable := filepath.Join(folder, "record-20260101T000000.db")
	for _, path := range []string{left, foreign, unreadable} {
		if err := os.WriteFile(path, []byte("cut off"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var problems []string
	made, err := s.Backup(t.Context(), folder, 1, noon, func(p string) { problems = append(problems, p) })
	if err != nil || len(problems) != 1 || !strings.HasPrefix(problems[0], "not looked at: read "+unreadable) {
		t.Errorf("%v: %q", err, problems)
	}
	if names := namesIn(t, folder); !slices.Equal(names, []string{filepath.Base(unreadable), filepath.Base(made.File), filepath.Base(foreign)}) {
		t.Errorf("there are %v", names)
	}
	lock, err := lockForBackup(filepath.Dir(s.path))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := s.Backup(t.Context(), folder, 1, noon.Add(time.Hour), nil); err == nil || !strings.Contains(err.Error(), "another backup of the record in ") {
		t.Errorf("beside another: %v", err)
	}
}

// A picture that is lost is told; the record is brought back without it.
func TestALostPictureDoesNotKeepARecordFromBeingRestored(t *testing.T) {
	c := configIn(t.TempDir())
	evidence(t, c, nil)
	r, err := OpenReader(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.RemoveAll(c.Pictures); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if made, err := r.Backup(t.Context(), folder, 7, noon, nil); err != nil || made.Missing != 1 || made.Pictures != 0 {
		t.Fatalf("%+v, %v", made, err)
	}
	place := configIn(t.TempDir())
	var problems []string
	restored, err := Restore(t.Context(), place, folder, func(p string) { problems = append(problems, p) })
	if err != nil || restored.Missing != 1 || len(problems) != 1 || !strings.HasSuffix(problems[0], ": is gone") {
		t.Fatalf("%+v, %v: %q", restored, err, problems)
	}
	if v, problems := verify(t, place, VerifyOptions{}); v.Lost != 1 || v.Problems != 1 {
		t.Errorf("%+v: %q", v, problems)
	}
}

// Retention removes a picture between the copy of the record and that of the pictures.
func TestAPictureRemovedDuringABackupIsNotMissing(t *testing.T) {
	c := configIn(t.TempDir())
	c.Keep = KeepAll
	s := openStore(t, c)
	defer s.Close()
	s.KeepPicture(insert(t, s, good(1)), frame(8, 8, 1), part.Pass)
	waitFor(t, func() bool { return rows(t, s, "frame") == 1 })
	early := configIn(t.TempDir())
	if err := s.copyRecord(t.Context(), early.Path); err != nil {
		t.Fatal(err)
	}
	copyOf, err := OpenReader(t.Context(), early)
	if err != nil {
		t.Fatal(err)
	}
	defer copyOf.Close()
	c.Quota = 1
	if gone, err := prune(t.Context(), s.Reader, c, s.commit, false); err != nil || gone.Passes != 1 {
		t.Fatalf("%+v, %v", gone, err)
	}
	var copied Copied
	if err := copyOf.copyPictures(t.Context(), s.Reader, c.Pictures, t.TempDir(), &copied); err != nil || copied != (Copied{}) {
		t.Errorf("%+v, %v", copied, err)
	}
}

// Counts are in no chain: where they are wrong, a record whose rows are all as they were written is brought back with right ones.
func TestWrongCountsDoNotKeepARecordFromBeingRestored(t *testing.T) {
	c := configIn(t.TempDir())
	evidence(t, c, nil)
	r, err := OpenReader(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	made, err := r.Backup(t.Context(), t.TempDir(), 7, noon, nil)
	if err != nil {
		t.Fatal(err)
	}
	tamper(t, made.File, "UPDATE slot SET parts = parts + 1", "DELETE FROM reject", "INSERT INTO reject VALUES (99, 'L9', 'anomaly')")
	place := configIn(t.TempDir())
	var problems []string
	if _, err := Restore(t.Context(), place, made.File, func(p string) { problems = append(problems, p) }); err != nil || len(problems) < 4 || problems[len(problems)-1] != "slot and reject are worked out anew from the rows" {
		t.Errorf("%v: %q", err, problems)
	}
	if v, problems := verify(t, place, VerifyOptions{Read: true}); problems != nil || v.Parts != 7 {
		t.Errorf("%+v: %q", v, problems)
	}
}
