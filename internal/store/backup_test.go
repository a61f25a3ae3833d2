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
		made, err := s.Backup(t.Context(), folder, 2, noon.Add(time.Duration(n)*time.Hour))
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
	if names, err := backups(folder); err != nil || !slices.Equal(names, []string{copies[1].Record, copies[2].Record}) {
		t.Errorf("the copies are %v, %v", names, err)
	}

	place := configIn(t.TempDir())
	restored, err := Restore(t.Context(), place, folder, func(p string) { t.Error(p) })
	if err != nil || restored.Pictures != copies[2].Pictures+copies[2].Present {
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
	made, err := r.Backup(t.Context(), folder, 7, noon)
	if err != nil {
		t.Fatal(err)
	}
	tamper(t, made.Record, "UPDATE inspection SET lot = 'L8' WHERE id = 6")
	place := configIn(t.TempDir())
	var problems []string
	_, err = Restore(t.Context(), place, made.Record, func(p string) { problems = append(problems, p) })
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
