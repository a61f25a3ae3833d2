package store

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"linectl/internal/hint"
	"linectl/internal/part"
)

// damagedRecord is a record whose pages were overwritten while no daemon ran, after a kill.
func damagedRecord(t *testing.T) (c Config, before []byte, picture string) {
	t.Helper()
	c = configIn(t.TempDir())
	s := openStore(t, c)
	for n := range uint32(200) {
		insert(t, s, good(n))
	}
	s.KeepPicture(1, frame(8, 8, 1), part.Reject)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, c)
	if _, err := s.db.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	s.release() // in use still, as after a kill
	before, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	for page := 20; page < 40; page++ {
		copy(before[page*4096:], strings.Repeat("damage", 100))
	}
	if err := os.WriteFile(c.Path, before, 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(c.Pictures + "/*/*/*/1-*.png")
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	return c, before, files[0]
}

// A line must not stand still for a record that is damaged, and must not lose what is left of it.
func TestADamagedRecordIsSetAsideAndTheLineStarts(t *testing.T) {
	c, before, picture := damagedRecord(t)
	kept, err := os.ReadFile(picture)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s, err := Open(context.Background(), c, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	var kind, detail string
	if err := s.db.QueryRow(`SELECT kind, detail FROM event`).Scan(&kind, &detail); err != nil || kind != "record-damaged" || !strings.Contains(detail, c.Path+".damaged-") {
		t.Errorf("the event is %q: %q, %v", kind, detail, err)
	}
	if !strings.Contains(log.String(), "the line starts with a new one") {
		t.Errorf("the log says %s", log.String())
	}
	// A new picture of the same part takes nothing from the old one, nor does the sweep.
	for n := range uint32(3) {
		s.KeepPicture(insert(t, s, good(n)), frame(8, 8, 200), part.Reject)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	pen, err := OpenPen(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := pen.Prune(t.Context(), false); err != nil || r.Orphans != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	pen.Close()
	if v, problems := verify(t, c, VerifyOptions{Read: true}); problems != nil || v.Parts != 3 || v.Pictures != 3 {
		t.Errorf("%+v, %v", v, problems)
	}

	aside, err := filepath.Glob(c.Path + ".damaged-*")
	if err != nil || len(aside) < 1 {
		t.Fatal(aside, err)
	}
	// But for SQLite's own counters in the header: opening it counts as a change.
	if after, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(after[100:], before[100:]) {
		t.Errorf("what is kept is not what was there: %v", err)
	}
	found, err := filepath.Glob(c.Pictures + "/damaged-*/*/*/*/1-*.png")
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	if after, err := os.ReadFile(found[0]); err != nil || !bytes.Equal(after, kept) {
		t.Errorf("the picture is not what was there: %v", err)
	}
	if err := Check(t.Context(), c); hint.KindOf(err) != hint.Damage || !strings.Contains(err.Error(), "a damaged record is kept as "+aside[0]) {
		t.Errorf("check says %v", err)
	}
	// It starts again as if nothing had been.
	s = openStore(t, c)
	if n := rows(t, s, "inspection"); n != 3 {
		t.Errorf("%d rows", n)
	}
	s.Close()
}

// Also where the head of the file is gone, or its end, the line starts, and what is left can be salvaged.
func TestARecordWithoutHeadOrEndIsSetAside(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"head": func(data []byte) []byte { return append(make([]byte, 4096), data[4096:]...) },
		"end":  func(data []byte) []byte { return data[:len(data)-3*pageSize] },
	} {
		c, content := filled(t, 40)
		if err := os.WriteFile(c.Path, damage(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s := openStore(t, c)
		insert(t, s, good(1))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		aside, err := filepath.Glob(c.Path + ".damaged-*[0-9]")
		if err != nil || len(aside) != 1 {
			t.Fatalf("%s: %v, %v", name, aside, err)
		}
		found, err := Salvage(t.Context(), aside[0], c.Path+".rescued", nil)
		if err != nil || found.Tables[0].Rows < 50 {
			t.Errorf("%s: %+v, %v", name, found, err)
		}
	}
	c := configIn(t.TempDir()) // zeros alone are nobody's
	if err := os.WriteFile(c.Path, make([]byte, 3*pageSize), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), c, slog.New(slog.DiscardHandler)); hint.KindOf(err) != hint.Damage {
		t.Errorf("zeros: %v", err)
	}
}

// What was never a record of ours is neither moved nor written to.
func TestWhatIsNotOursStaysWhereItIs(t *testing.T) {
	for _, content := range []string{"not a database, for sure; " + strings.Repeat("x", 5000), "SQLite format 3\x00" + strings.Repeat("y", 5000)} {
		c := configIn(t.TempDir())
		if err := os.WriteFile(c.Path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), c, slog.New(slog.DiscardHandler)); hint.KindOf(err) != hint.Damage {
			t.Errorf("error is %v", err)
		}
		if after, err := os.ReadFile(c.Path); err != nil || string(after) != content {
			t.Errorf("it was changed: %v", err)
		}
	}
}
