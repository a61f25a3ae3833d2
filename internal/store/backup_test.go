package store

import (
	"context"
	"errors"
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
	young := filepath.Join(folder, "record-20260102T000000.db.unfinished") // as a linectl before named it
	old := filepath.Join(folder, "record-20260103T000000.db.unfinished")
	for _, path := range []string{left, foreign, unreadable, young, old} {
		if err := os.WriteFile(path, []byte("cut off"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().AddDate(0, 0, -2)); err != nil {
		t.Fatal(err)
	}
	var problems []string
	made, err := s.Backup(t.Context(), folder, 1, noon, func(p string) { problems = append(problems, p) })
	if err != nil || len(problems) != 1 || !strings.HasPrefix(problems[0], "not looked at: read "+unreadable) {
		t.Errorf("%v: %q", err, problems)
	}
	if names := namesIn(t, folder); !slices.Equal(names, []string{filepath.Base(unreadable), filepath.Base(young), filepath.Base(made.File), filepath.Base(foreign)}) {
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
	if err := copyOf.savePictures(t.Context(), s.Reader, c.Pictures, t.TempDir(), &copied); err != nil || copied != (Copied{}) {
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

// pictured makes a record of one part whose picture is of that content.
func pictured(t *testing.T, content int) (*Reader, Config) {
	t.Helper()
	c := configIn(t.TempDir())
	s := openStore(t, c)
	s.KeepPicture(insert(t, s, rejected(1, part.Anomaly)), frame(8, 8, content), part.Reject)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := OpenReader(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, c
}

func pictureIn(t *testing.T, folder string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, "*", "*", "*", "*.png"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	return found[0]
}

// The copies of several records stay side by side in a folder, and so do their pictures, also where both are made in one second.
func TestRecordsShareAFolderOfBackups(t *testing.T) {
	folder := t.TempDir()
	var copies []Copied
	for n := range 3 {
		s, _ := pictured(t, n)
		for again := range int64(2) {
			made, err := s.Backup(t.Context(), folder, 1, noon, func(p string) { t.Error(p) })
			if err != nil || made.Missing != 0 || made.Pictures != 1-again || made.Present != again {
				t.Fatalf("%+v, %v", made, err)
			}
			if again == 1 {
				copies = append(copies, made)
			}
		}
	}
	for _, made := range copies {
		place := configIn(t.TempDir())
		restored, err := Restore(t.Context(), place, made.File, func(p string) { t.Error(p) })
		if err != nil || restored.UUID != made.UUID || restored.Pictures != 1 || restored.Missing != 0 {
			t.Errorf("%+v, %v", restored, err)
		}
	}
}

// A linectl before gave pictures in a backup the names that they have in the record.
func TestPicturesUnderTheirOldNamesInABackup(t *testing.T) {
	s, c := pictured(t, 1)
	folder := t.TempDir()
	backup := func(at time.Time, copied, present int64) {
		t.Helper()
		made, err := s.Backup(t.Context(), folder, 1, at, nil)
		if err != nil || made.Pictures != copied || made.Present != present || made.Missing != 0 {
			t.Fatalf("%+v, %v", made, err)
		}
	}
	restore := func(missing int64) {
		t.Helper()
		restored, err := Restore(t.Context(), configIn(t.TempDir()), folder, func(string) {})
		if err != nil || restored.Missing != missing || restored.Pictures != 1-missing {
			t.Errorf("%+v, %v", restored, err)
		}
	}
	backup(noon, 1, 0)
	pictures := filepath.Join(folder, "pictures")
	named, kept := pictureIn(t, pictures), pictureIn(t, c.Pictures)
	old := filepath.Join(filepath.Dir(named), filepath.Base(kept))
	if err := os.Rename(named, old); err != nil {
		t.Fatal(err)
	}
	restore(0)
	backup(noon.Add(time.Hour), 0, 1)
	if pictureIn(t, pictures) != named {
		t.Error("it has its old name")
	}
	restore(0)

	// Another record's, of the same size, has taken its place.
	data, err := os.ReadFile(named)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1]++
	if err := errors.Join(os.WriteFile(old, data, 0o600), os.Remove(named)); err != nil {
		t.Fatal(err)
	}
	restore(1)
	backup(noon.Add(2*time.Hour), 1, 0)
	restore(0)
	if left, err := os.ReadFile(old); err != nil || !slices.Equal(left, data) {
		t.Errorf("the other's is not left as it was: %v", err)
	}

	// What is no longer what was kept does not get its name.
	if err := errors.Join(os.Remove(named), os.WriteFile(kept, data, 0o600)); err != nil {
		t.Fatal(err)
	}
	if made, err := s.Backup(t.Context(), folder, 1, noon.Add(3*time.Hour), nil); err != nil || made.Missing != 1 || made.Pictures != 0 {
		t.Errorf("%+v, %v", made, err)
	}
}

func TestRestoreIntoAPlaceThatIsNotEmpty(t *testing.T) {
	s, _ := pictured(t, 1)
	folder := t.TempDir()
	if _, err := s.Backup(t.Context(), folder, 1, noon, nil); err != nil {
		t.Fatal(err)
	}
	_, place := pictured(t, 2)
	another, err := os.ReadFile(pictureIn(t, place.Pictures))
	if err != nil {
		t.Fatal(err)
	}
	if err := removeRecord(place.Path); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{".unfinished", ".unfinished-wal"} { // of a restore that was killed
		if err := os.WriteFile(place.Path+suffix, []byte("cut off"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if restored, err := Restore(t.Context(), place, folder, func(p string) { t.Error(p) }); err != nil || restored.Pictures != 1 {
		t.Errorf("%+v, %v", restored, err)
	}
	if data, err := os.ReadFile(pictureIn(t, filepath.Join(place.Pictures, orphans))); err != nil || !slices.Equal(data, another) {
		t.Errorf("the other record's picture: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(place.Path), "*unfinished*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}
