package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mattn/go-sqlite3"

	"linectl/internal/hint"
	"linectl/internal/part"
)

// foreign makes an SQLite file of another program.
func foreign(t *testing.T, path string, statements ...string) {
	t.Helper()
	db := sql.OpenDB(&connector{sqlite3.SQLiteDriver{}, dsn(path, "")})
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	newer := func(t *testing.T, path string) {
		foreign(t, path, fmt.Sprintf("PRAGMA application_id = %d", applicationID), "PRAGMA user_version = 99", "CREATE TABLE x (y)")
	}
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, path string)
		message string // after "open the record PATH: "
		hint    string // the beginning
		kind    hint.Kind
	}{
		{
			"another program's database",
			func(t *testing.T, path string) { foreign(t, path, "CREATE TABLE songs (title)") },
			"the file is an SQLite database of another program", "give store.path a name of its own", hint.Damage,
		},
		{
			"another program's database, marked",
			func(t *testing.T, path string) { foreign(t, path, "PRAGMA application_id = 7", "CREATE TABLE x (y)") },
			"the file is an SQLite database of another program", "give store.path a name of its own", hint.Damage,
		},
		{
			"a newer version", newer,
			"it has schema version 99; this linectl knows versions up to 2", "install the linectl that wrote it, or a newer one", hint.Damage,
		},
		{
			"no database",
			func(t *testing.T, path string) {
				if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
					t.Fatal(err)
				}
			},
			"file is not a database", damageHint, hint.Damage,
		},
		{
			"a folder",
			func(t *testing.T, path string) {
				if err := os.Mkdir(path, 0o700); err != nil {
					t.Fatal(err)
				}
			},
			"it is not a file", "store.path names the file of the record", hint.Usage,
		},
		{
			"a vacuum mode of another program",
			func(t *testing.T, path string) {
				foreign(t, path, fmt.Sprintf("PRAGMA application_id = %d", applicationID), "PRAGMA user_version = 1", "CREATE TABLE x (y)")
			},
			"SQLite has auto_vacuum = 0 where 2 is needed", "the file was made by another program", hint.Failure,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := configIn(t.TempDir())
			c.prepare(t, config.Path)
			_, err := Open(t.Context(), config, slog.New(slog.DiscardHandler))
			if err == nil {
				t.Fatal("it was opened")
			}
			if want := "open the record " + config.Path + ": " + c.message; err.Error() != want {
				t.Errorf("error is\n%v\nwant\n%s", err, want)
			}
			if !strings.HasPrefix(hint.Of(err), c.hint) || hint.KindOf(err) != c.kind {
				t.Errorf("hint is %q, kind %d; want %q, %d", hint.Of(err), hint.KindOf(err), c.hint, c.kind)
			}
		})
	}
}

func TestOpenReaderRefuses(t *testing.T) {
	c := configIn(t.TempDir())
	_, err := OpenReader(t.Context(), c)
	if want := "open the record " + c.Path + ": there is no such file"; err == nil || err.Error() != want || hint.KindOf(err) != hint.Failure {
		t.Errorf("error is %v, want %s", err, want)
	}
	if err := os.WriteFile(c.Path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = OpenReader(t.Context(), c)
	if want := "open the record " + c.Path + ": the file holds no record"; err == nil || err.Error() != want || hint.KindOf(err) != hint.Damage {
		t.Errorf("error is %v, want %s", err, want)
	}
}

// asNobody runs do with the rights of a user who owns nothing. File rights are the thread's own on Linux.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		do()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, _, err := syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0); err != 0 {
		t.Skip("cannot take another user's rights:", err)
	}
	defer syscall.RawSyscall(syscall.SYS_SETFSUID, 0, 0, 0)
	do()
}

func letOthersEnter(t *testing.T, folder string) {
	t.Helper()
	for up := folder; up != "/"; up = filepath.Dir(up) {
		if info, err := os.Stat(up); err == nil && info.Mode().Perm()&0o005 != 0o005 {
			if err := os.Chmod(up, info.Mode().Perm()|0o055); err != nil {
				t.Skip("others cannot be let in:", err)
			}
		}
	}
}

func TestFolderThatCannotBeWritten(t *testing.T) {
	folder := t.TempDir()
	letOthersEnter(t, folder)
	if err := os.Chmod(folder, 0o555); err != nil {
		t.Fatal(err)
	}
	c := configIn(folder)
	var err error
	asNobody(t, func() { _, err = Open(context.Background(), c, slog.New(slog.DiscardHandler)) })
	want := fmt.Sprintf("open the record %s: open %s.lock: permission denied", c.Path, c.Path)
	if err == nil || err.Error() != want || !strings.HasPrefix(hint.Of(err), "linectl's user must own "+folder) {
		t.Errorf("error is %v, hint %q; want %s", err, hint.Of(err), want)
	}
}

func TestFolderOfPicturesThatCannotBeWritten(t *testing.T) {
	c := configIn(t.TempDir())
	if err := os.WriteFile(c.Pictures, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := Check(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "the folder of pictures "+c.Pictures+": ") || !strings.Contains(hint.Of(err), "store.pictures") {
		t.Errorf("error is %v, hint %q", err, hint.Of(err))
	}
	// The line runs all the same, says what is lost, and keeps pictures as soon as it can.
	s := openStore(t, c)
	s.pictures.outage.quiet = 0
	s.KeepPicture(insert(t, s, good(1)), frame(8, 8, 1), part.Reject)
	for dropped := uint64(0); dropped == 0; time.Sleep(time.Millisecond) {
		dropped, _ = s.dropped()
	}
	if err := os.Remove(c.Pictures); err != nil {
		t.Fatal(err)
	}
	id := insert(t, s, good(2))
	s.KeepPicture(id, frame(8, 8, 2), part.Reject)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := OpenReader(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if kept, err := r.Part(t.Context(), id); err != nil || len(kept.Pictures) != 1 {
		t.Errorf("%+v, %v", kept, err)
	}
	events, err := r.Events(t.Context(), time.Time{}, time.Time{}, 0)
	if err != nil || len(events) != 2 || events[1].Kind != "pictures-lost" || !strings.Contains(events[1].Detail, "from record 1 on: ") ||
		events[0].Kind != "pictures-kept" || events[0].Detail != "from record 2 on; 1 were lost before" {
		t.Errorf("%+v, %v", events, err)
	}
	c.Keep = KeepNone
	if err := Check(t.Context(), c); err != nil {
		t.Error(err)
	}
}

// A share that is not mounted any more: nothing is written to where it was, and it heals.
func TestPicturesOnAShareThatVanishes(t *testing.T) {
	c := configIn(t.TempDir())
	s := openStore(t, c)
	s.pictures.outage.quiet = 0
	away := c.Pictures + ".away"
	first := insert(t, s, good(1))
	s.KeepPicture(first, frame(8, 8, 1), part.Reject)
	waitFor(t, func() bool { return story(t, s, first).Pictures != nil })
	if err := os.Rename(c.Pictures, away); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(c.Pictures, 0o755); err != nil { // the empty mount point
		t.Fatal(err)
	}
	s.KeepPicture(insert(t, s, good(2)), frame(8, 8, 2), part.Reject)
	waitFor(t, func() bool { dropped, _ := s.dropped(); return dropped == 1 })
	if left, err := os.ReadDir(c.Pictures); err != nil || len(left) != 0 {
		t.Errorf("written to the mount point: %v, %v", left, err)
	}
	if err := s.Healthy(); err != nil {
		t.Errorf("the record itself is well: %v", err)
	}
	if err := errors.Join(os.Remove(c.Pictures), os.Rename(away, c.Pictures)); err != nil {
		t.Fatal(err)
	}
	third := insert(t, s, good(3))
	s.KeepPicture(third, frame(8, 8, 3), part.Reject)
	waitFor(t, func() bool { return story(t, s, third).Pictures != nil })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if v, problems := verify(t, c, VerifyOptions{Read: true}); problems != nil || v.Pictures != 2 || v.Parts != 3 {
		t.Errorf("%+v, %v", v, problems)
	}
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come")
		}
	}
}

// A reader without the right to write reads while the daemon runs and after it has stopped.
func TestReaderWithoutRightToWrite(t *testing.T) {
	folder := t.TempDir()
	letOthersEnter(t, folder)
	c := configIn(folder)
	s := openStore(t, c)
	insert(t, s, good(1))
	read := func(when string) {
		asNobody(t, func() {
			reader, err := OpenReader(context.Background(), c)
			if err != nil {
				t.Errorf("%s: %v", when, err)
				return
			}
			defer reader.Close()
			for p, err := range reader.Find(context.Background(), Filter{}) {
				if err != nil || p.ID != 1 {
					t.Errorf("%s: %+v, %v", when, p, err)
				}
			}
		})
	}
	read("while it runs")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	read("after it has stopped")
}

func TestSecondWriterIsRefused(t *testing.T) {
	s := newStore(t)
	_, err := Open(t.Context(), s.config, slog.New(slog.DiscardHandler))
	want := "open the record " + s.config.Path + ": another linectl is writing it"
	if err == nil || err.Error() != want || !strings.HasPrefix(hint.Of(err), "stop the other one") {
		t.Errorf("error is %v, want %s", err, want)
	}
}

func TestPragmasAreAsAsked(t *testing.T) {
	s := newStore(t)
	for _, pragma := range writerPragmas {
		var got string
		if err := s.db.QueryRow("PRAGMA " + pragma.name).Scan(&got); err != nil || got != pragma.want {
			t.Errorf("%s is %s, %v", pragma.name, got, err)
		}
	}
	if _, err := s.Reader.db.Exec("INSERT INTO event (at, kind, who, detail) VALUES (1, 'a', 'b', 'c')"); err == nil {
		t.Error("a reader could write")
	}
}

func TestRecordLastsAndHasOneIdentity(t *testing.T) {
	c := configIn(filepath.Join(t.TempDir(), "a folder with 100% ? and #"))
	identity := func(s *Store) (uuid string) {
		if err := s.db.QueryRow(`SELECT value FROM meta WHERE key = 'uuid'`).Scan(&uuid); err != nil {
			t.Fatal(err)
		}
		return uuid
	}
	s := openStore(t, c)
	insert(t, s, good(1))
	first := identity(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, c)
	defer s.Close()
	if got := identity(s); got != first || len(got) != 36 {
		t.Errorf("uuid was %s and is %s", first, got)
	}
	if n := rows(t, s, "inspection"); n != 1 {
		t.Errorf("there are %d rows, want 1", n)
	}
	if _, err := os.Stat(c.Path); err != nil {
		t.Error(err)
	}
}

func TestUncleanStopIsNoticed(t *testing.T) {
	c := configIn(t.TempDir())
	s := openStore(t, c)
	for n := range uint32(200) {
		insert(t, s, good(n))
	}
	s.release() // as a crash does: nothing is said of the end
	s = openStore(t, c)
	var kind string
	if err := s.db.QueryRow(`SELECT kind FROM event`).Scan(&kind); err != nil || kind != "unclean-stop" {
		t.Errorf("event is %q, %v", kind, err)
	}
	s.release()
}

func TestCheckFindsAllMistakes(t *testing.T) {
	if problems := DefaultConfig().Check(); problems != nil {
		t.Errorf("the defaults have mistakes: %v", problems)
	}
	got := Config{Keep: KeepAll}.Check()
	want := []string{
		"path: is empty; give the file in which the record is kept",
		`pictures: is empty; give the folder in which pictures are kept, or set keep = "none"`,
		"picture_queue: 0 is out of range; allowed is 1 to 1000",
		"queue: 0 is out of range; allowed is 100 to 1000000",
	}
	for i, p := range got {
		if text := p.Key + ": " + p.Message; i >= len(want) || text != want[i] {
			t.Errorf("mistake %d is %q", i, text)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d mistakes, want %d", len(got), len(want))
	}
	var k Keep
	if err := k.UnmarshalText([]byte("some")); err == nil || err.Error() != `"some" is not known; choose rejects, all or none` {
		t.Errorf("error is %v", err)
	}
}

func TestExplainKeepsTheCause(t *testing.T) {
	cause := sqlite3.Error{Code: sqlite3.ErrFull}
	err := explain("/x/linectl.db", fmt.Errorf("insert: %w", cause))
	var e sqlite3.Error
	if !errors.As(err, &e) || hint.Of(err) == "" {
		t.Errorf("error is %v", err)
	}
	if part.ReasonOf(err, part.NotStored) != part.NotStored {
		t.Error("it carries a reason of its own")
	}
}

func TestPages(t *testing.T) {
	s := newStore(t)
	var size int
	if err := s.db.QueryRow("PRAGMA page_size").Scan(&size); err != nil || size != 8192 {
		t.Errorf("pages have %d bytes, %v", size, err)
	}
}
