package store

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"linectl/internal/hint"
)

// heads are what the chains of the committed records come to, by version of the schema.
var heads = map[int]string{
	1: "668f878a319951756b3ef3c3c0ae8293c757a059b0c4ff1a62f423bfd69a9c2c",
	2: "7b1b31798726c8c402a2246644a70f595fd9bff041253f4e3b842066bd72fab4",
}

// TestOldRecordsOpen opens a record of each version that was ever released, as a daemon of today does: no row
// is lost, and the chain comes to what it came to then.
func TestOldRecordsOpen(t *testing.T) {
	for version := 1; version <= newest; version++ {
		c := oldRecord(t, version)
		s, err := Open(context.Background(), c, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
		id := insert(t, s, good(1000))
		if got := story(t, s, 2); got.Record.Trigger.PartID != "part 1" || got.Record.Finding.Score != 1.25 || len(got.Record.Finding.Map.Cells) != 6 || len(got.Deliveries) != 1 {
			t.Errorf("version %d: part 2 is %+v", version, got)
		}
		var old string
		if err := s.db.QueryRow(`SELECT lower(hex(hash)) FROM link WHERE n = (SELECT max(n) FROM link WHERE kind = 6)`).Scan(&old); err != nil || old != heads[version] {
			t.Errorf("version %d: the chain comes to %s, %v", version, old, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if v, problems := verify(t, c, VerifyOptions{}); v.Parts != id || len(problems) != 1 || !strings.Contains(problems[0], "is gone") { // the picture is not committed
			t.Errorf("version %d: %+v, %v", version, v, problems)
		}
	}
}

func oldRecord(t *testing.T, version int) Config {
	t.Helper()
	c := configIn(t.TempDir())
	file, err := os.Open(fmt.Sprintf("testdata/version%d.db.gz", version))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.Path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// A record that a newer linectl wrote is refused by everything, and not touched: also where it is damaged.
func TestANewerRecordIsNotTouched(t *testing.T) {
	c := oldRecord(t, newest)
	tamper(t, c.Path, fmt.Sprintf("PRAGMA user_version = %d", newest+1))
	before, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	_, write := Open(t.Context(), c, slog.New(slog.DiscardHandler))
	_, read := OpenReader(t.Context(), c)
	_, pen := OpenPen(t.Context(), c)
	for _, err := range []error{write, read, pen} {
		if hint.KindOf(err) != hint.Damage || !strings.Contains(err.Error(), "this linectl knows versions up to") || hint.Of(err) != "install the linectl that wrote it, or a newer one" {
			t.Errorf("error is %v", err)
		}
	}
	if after, err := os.ReadFile(c.Path); err != nil || string(after) != string(before) {
		t.Errorf("it was changed: %v", err)
	}
	if aside, _ := filepath.Glob(c.Path + ".damaged*"); aside != nil {
		t.Errorf("set aside: %v", aside)
	}
}

// A backup that an older linectl made is restored by every newer one.
func TestOldBackupsAreRestored(t *testing.T) {
	for version := 1; version <= newest; version++ {
		old := oldRecord(t, version)
		tamper(t, old.Path, "DELETE FROM meta WHERE key = 'in_use'")
		folder := t.TempDir()
		from := filepath.Join(folder, noon.Format(backupName))
		data, err := os.ReadFile(old.Path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(from, data, 0o600); err != nil {
			t.Fatal(err)
		}
		c := configIn(t.TempDir())
		var problems []string
		restored, err := Restore(t.Context(), c, folder, func(p string) { problems = append(problems, p) })
		// Its picture is not committed.
		if err != nil || restored.Missing != 1 || len(problems) != 1 || !strings.Contains(problems[0], "is gone") {
			t.Errorf("version %d: %v, %v", version, problems, err)
		}
		if after, err := os.ReadFile(from); err != nil || string(after) != string(data) {
			t.Errorf("version %d: the backup was changed: %v", version, err)
		}
	}
}
