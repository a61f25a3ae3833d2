package store

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mattn/go-sqlite3"

	"linectl/internal/part"
)

// verify walks the chain and returns what is wrong with it.
func verify(t testing.TB, c Config, o VerifyOptions) (Verification, []string) {
	t.Helper()
	r, err := OpenReader(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var problems []string
	v, err := r.Verify(context.Background(), o, func(p string) { problems = append(problems, p) })
	if err != nil {
		t.Fatal(err)
	}
	return v, problems
}

// tamper changes the file as an attacker does who knows SQL and the schema.
func tamper(t *testing.T, path string, statements ...string) {
	t.Helper()
	db := sql.OpenDB(&connector{sqlite3.SQLiteDriver{}, dsn(path, "")})
	defer db.Close()
	rows, err := db.Query(`SELECT name FROM sqlite_schema WHERE type = 'trigger'`)
	if err != nil {
		t.Fatal(err)
	}
	var drop []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		drop = append(drop, "DROP TRIGGER "+name)
	}
	rows.Close()
	for _, statement := range append(drop, statements...) {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// evidence fills a record with a row of every kind, over three days.
func evidence(t *testing.T, c Config, key ed25519.PrivateKey) []Seal {
	t.Helper()
	s := openStore(t, c)
	var day atomic.Int64
	s.seals.now = func() time.Time { return time.Now().AddDate(0, 0, int(day.Load())) }
	s.seals.key = key
	for n := range uint32(6) {
		if n == 2 || n == 4 {
			s.settle(t)
			day.Add(1)
		}
		r := good(n)
		r.Trigger.PartID = fmt.Sprint("part ", n)
		s.Deliver(insert(t, s, r), written(part.Pass, part.None))
		s.settle(t)
	}
	id := insert(t, s, rejected(7, part.Deadline))
	s.Late(id, *good(7).Finding)
	s.Event("start", "linectl", "")
	if _, err := s.Recover(t.Context(), "press 4", part.Told{}, part.Count{Last: part.Sequence{Value: 9, Bits: 16}}); err != nil {
		t.Fatal(err)
	}
	s.KeepPicture(id, frame(8, 8, 1), part.Reject)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := OpenReader(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	kept, err := r.Seals(t.Context())
	if err != nil || len(kept) != 2 {
		t.Fatalf("%d seals, %v; want 2", len(kept), err)
	}
	return kept
}

func TestVerifyNamesWhatWasChanged(t *testing.T) {
	for _, c := range []struct {
		name string
		do   []string
		want []string
	}{
		{"nothing", nil, nil},
		{"a verdict", []string{"UPDATE inspection SET verdict = 'reject', reason = 'anomaly' WHERE id = 3"}, []string{"inspection 3: changed or moved (link 7)",
			`slot 2026-11-23T12:00:00Z, lot "L9", reason "", decided "": counts 6 parts where the rows have 5`,
			`slot 2026-11-23T12:00:00Z, lot "L9", reason "", decided "anomaly": counts 0 parts where the rows have 1`}},
		{"a score by the smallest step", []string{"UPDATE inspection SET score = score + 1e-15 WHERE id = 1"}, []string{"inspection 1: changed or moved (link 2)"}},
		{"a lot", []string{"UPDATE inspection SET lot = 'L8' WHERE id = 6"}, []string{"inspection 6: changed or moved (link 14)",
			`slot 2026-11-23T12:00:00Z, lot "L8", reason "", decided "": counts 0 parts where the rows have 1`,
			`slot 2026-11-23T12:00:00Z, lot "L9", reason "", decided "": counts 6 parts where the rows have 5`}},
		{"what the PLC was told", []string{"UPDATE delivery SET verdict = 'reject' WHERE id = 2"}, []string{"delivery 2: changed or moved (link 5)", "reject 2: cut out"}},
		{"a recipe's hash", []string{"UPDATE recipe SET hash = 'ff'"}, []string{"recipe 1: changed or moved (link 1)"}},
		{"a heatmap", []string{"UPDATE heatmap SET hi = hi + 1 WHERE inspection_id = 2"}, []string{"heatmap 2: changed"}},
		{"a heatmap is cut out", []string{"DELETE FROM heatmap WHERE inspection_id = 7"}, []string{"heatmap 7: cut out"}},
		{"a part is cut out", []string{"DELETE FROM inspection WHERE id = 2"}, []string{"inspection 2: cut out (link 4)",
			`slot 2026-11-23T12:00:00Z, lot "L9", reason "", decided "": counts 6 parts where the rows have 5`}},
		{"a part and its link", []string{"DELETE FROM inspection WHERE id = 2", "DELETE FROM link WHERE n = 4"},
			[]string{"link 4: cut out", "delivery 2: cannot be proved, as the link before it is gone (link 5)", "inspection 2: its link was cut out, or moved",
				`slot 2026-11-23T12:00:00Z, lot "L9", reason "", decided "": counts 6 parts where the rows have 5`}},
		{"the end", []string{"DELETE FROM event WHERE id = 1", "DELETE FROM link WHERE kind = 7"}, []string{"link 18: cut out", "counting 1: cannot be proved, as the link before it is gone (link 19)"}},
		{"two parts change places", []string{"UPDATE inspection SET id = -1 WHERE id = 1", "UPDATE inspection SET id = 1 WHERE id = 2", "UPDATE inspection SET id = 2 WHERE id = -1"},
			[]string{"inspection 1: changed or moved (link 2)", "inspection 2: changed or moved (link 4)"}},
		{"two links change places", []string{"UPDATE link SET n = -1 WHERE n = 2", "UPDATE link SET n = 2 WHERE n = 3", "UPDATE link SET n = 3 WHERE n = -1"},
			[]string{"delivery 1: changed or moved (link 2)", "inspection 1: changed or moved (link 3)", "inspection 2: changed or moved (link 4)"}},
		{"a row is added", []string{"INSERT INTO event (at, kind, who, detail) VALUES (1, 'x', 'y', 'z')"}, []string{"event 2: no link names it: added, or its link was cut off"}},
		{"a row is put before the first", []string{"INSERT INTO event (id, at, kind, who, detail) VALUES (-5, 1, 'x', 'y', 'z')"}, []string{"event -5 stands before the first: added"}},
		{"a seal", []string{"UPDATE seal SET n = 3 WHERE id = 1"}, []string{"seal 1: changed or moved (link 6)", "seal 1: does not fit link 5 before it", "seal 1: the signature is not of this key, or the seal was changed"}},
		{"an event", []string{"UPDATE event SET who = 'nobody'"}, []string{"event 1: changed or moved (link 18)"}},
		{"the counting", []string{"UPDATE counting SET sequence = 8"}, []string{"counting 1: changed or moved (link 19)"}},
		{"a late score", []string{"UPDATE late SET score = NULL"}, []string{"late 1: changed or moved (link 17)"}},
		{"a picture's hash", []string{"UPDATE frame SET sha256 = 'ff'"}, []string{"frame 1: changed or moved (link", "frame 1: picture"}},
		{"a path that leads out", []string{"UPDATE frame SET path = '../../etc/passwd'"}, []string{"frame 1: changed or moved (link", "frame 1: picture ../../etc/passwd: its path leads out of the folder of pictures"}},
		{"a link's kind", []string{"UPDATE link SET kind = 99 WHERE n = 2"}, []string{"link 2: changed: there is no kind 99", "inspection 1: its link was cut out, or moved"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := configIn(t.TempDir())
			public, key, _ := ed25519.GenerateKey(nil)
			evidence(t, config, key)
			tamper(t, config.Path, c.do...)
			v, problems := verify(t, config, VerifyOptions{Read: true, Key: public})
			if v.Parts < 5 || v.Pictures != 1 || v.Problems != int64(len(problems)) {
				t.Errorf("verified %+v", v)
			}
			if !slices.EqualFunc(problems, c.want, strings.HasPrefix) {
				t.Errorf("found\n%s\nwant\n%s", strings.Join(problems, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// TestASealKeptElsewhereFindsARewrittenRecord: an attacker who works out the whole chain anew is
// found by a seal that left the machine, and so is one who cuts the end off with all traces.
func TestASealKeptElsewhereFindsARewrittenRecord(t *testing.T) {
	genuine := configIn(t.TempDir())
	known := evidence(t, genuine, nil)

	cut := fmt.Sprint(known[1].N - 1)
	tamper(t, genuine.Path, "DELETE FROM seal WHERE id = 2", "DELETE FROM frame", "DELETE FROM late", "DELETE FROM event", "DELETE FROM counting",
		"DELETE FROM inspection WHERE id IN (SELECT row FROM link WHERE kind = 2 AND n > "+cut+")",
		"DELETE FROM delivery WHERE id IN (SELECT row FROM link WHERE kind = 4 AND n > "+cut+")",
		"DELETE FROM link WHERE n > "+cut, "UPDATE sqlite_sequence SET seq = "+cut+" WHERE name = 'link'",
		"DELETE FROM reject WHERE inspection_id NOT IN (SELECT id FROM inspection)", "DELETE FROM slot",
		`INSERT INTO slot SELECT at - at % 900000000, station, coalesce(recipe_id, 0), lot, reason, reason, count(*), count(score), total(score), total(score * score),
			count(brightness), total(brightness), total(sharpness) FROM inspection GROUP BY 1, 2, 3, 4, 5`)
	if _, problems := verify(t, genuine, VerifyOptions{}); problems != nil {
		t.Fatalf("the attacker left traces: %v", problems)
	}
	if _, problems := verify(t, genuine, VerifyOptions{Known: known}); len(problems) != 1 || !strings.HasPrefix(problems[0], "links ") || !strings.Contains(problems[0], "have been cut off: the seal of ") {
		t.Errorf("found %v", problems)
	}
	known[0].Hash = strings.Repeat("00", 32)
	if _, problems := verify(t, genuine, VerifyOptions{Known: known[:1]}); len(problems) != 1 || !strings.Contains(problems[0], "is not the one that the seal of") {
		t.Errorf("found %v", problems)
	}
}

func TestVerifyReadsThePictures(t *testing.T) {
	config := configIn(t.TempDir())
	evidence(t, config, nil)
	files, _ := filepath.Glob(config.Pictures + "/*/*/*/*.png")
	if len(files) != 1 {
		t.Fatal(files)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	for _, c := range []struct {
		do   func() error
		read bool
		want string
	}{
		{func() error { return os.WriteFile(files[0], data, 0o600) }, true, errChanged.Error()},
		{func() error { return nil }, false, ""},
		{func() error { return os.Truncate(files[0], 5) }, false, fmt.Sprintf("has 5 bytes, not %d", len(data))},
		{func() error { return os.Remove(files[0]) }, false, "is gone"},
	} {
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		_, problems := verify(t, config, VerifyOptions{Read: c.read})
		if c.want == "" && problems == nil {
			continue
		}
		if len(problems) != 1 || !strings.HasSuffix(problems[0], ": "+c.want) {
			t.Errorf("found %v, want %s", problems, c.want)
		}
	}
}

// Retention removes a picture after the walk has begun: its row comes too late for the walk, and there is no problem.
func TestAPictureRemovedDuringTheWalkIsNotMissing(t *testing.T) {
	c := configIn(t.TempDir())
	c.Keep = KeepAll
	s := openStore(t, c)
	defer s.Close()
	if err := s.commit(t.Context(), "events", func(tx *ledger) error {
		for range verifyStep {
			if err := insertEvent(tx, noon, "start", "linectl", ""); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	s.KeepPicture(insert(t, s, good(1)), frame(8, 8, 1), part.Pass)
	waitFor(t, func() bool { return rows(t, s, "frame") == 1 })
	c.Quota = 1
	var once sync.Once
	v, err := s.Verify(t.Context(), VerifyOptions{Progress: func(int64, int64) {
		once.Do(func() {
			if gone, err := prune(t.Context(), s.Reader, c, s.commit, false); err != nil || gone.Passes != 1 {
				t.Errorf("%+v, %v", gone, err)
			}
		})
	}}, func(problem string) { t.Error(problem) })
	if err != nil || v.Pictures != 1 || v.Removed != 1 || v.Lost != 0 {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestTheCountsAreThoseOfTheParts: slot and reject are worked out step by step, and must be what a
// count over all parts gives.
func TestTheCountsAreThoseOfTheParts(t *testing.T) {
	s := newStore(t)
	for n := range uint32(40) {
		r := good(n)
		r.Trigger.SeenAt = noon.Add(time.Duration(n) * 7 * time.Minute)
		if n%5 == 0 {
			r = rejected(n, part.Deadline)
		}
		id := insert(t, s, r)
		switch n % 4 {
		case 0:
			s.Deliver(id, written(part.Reject, part.LinkLost))
		case 1:
			s.Deliver(id, written(part.Pass, part.None))
		case 2:
			failed := written(part.Reject, part.LinkLost)
			failed.Outcome = part.Failed
			s.Deliver(id, failed)
			s.Deliver(id, written(part.Pass, part.None))
		}
	}
	s.settle(t)
	countsFit(t, s.Reader)
}

func countsFit(t *testing.T, r *Reader) {
	t.Helper()
	v := &verifier{reader: r, report: func(problem string) { t.Error(problem) }}
	if err := v.counts(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestVerifyComparesTheCounts: they are in no chain, but retention and answers go by them.
func TestVerifyComparesTheCounts(t *testing.T) {
	const passes = `slot 2026-11-23T12:00:00Z, lot "L9", reason "", decided "": `
	for _, c := range []struct {
		do   string
		want []string
	}{
		{"DELETE FROM reject", []string{"reject 7: cut out"}},
		{"UPDATE reject SET reason = 'anomaly' WHERE inspection_id = 7", []string{"reject 7: changed"}},
		{"UPDATE reject SET lot = 'L1' WHERE inspection_id = 7", []string{"reject 7: changed"}},
		{"INSERT INTO reject VALUES (3, 'L9', 'anomaly')", []string{"reject 3: added"}},
		{"INSERT INTO reject VALUES (99, 'L9', 'anomaly')", []string{"reject 99: added: there is no such part"}},
		{"UPDATE slot SET parts = parts - 1 WHERE reason = ''", []string{passes + "counts 5 parts where the rows have 6"}},
		{"DELETE FROM slot WHERE reason = ''", []string{passes + "counts 0 parts where the rows have 6"}},
		{"UPDATE slot SET score = score + 0.001 WHERE reason = ''", []string{passes + "its sums are not those of the rows"}},
		{"UPDATE slot SET recipe_id = 9 WHERE reason = ''", []string{passes + "counts 0 parts where the rows have 6", passes + "counts 6 parts where the rows have 0"}},
		{"INSERT INTO slot SELECT 9223372036854775807, station, recipe_id, lot, reason, decided, 1, 0, 0, 0, 0, 0, 0 FROM slot WHERE reason = ''",
			[]string{`slot 294247-01-10T04:00:54Z, lot "L9", reason "", decided "": counts 1 parts where the rows have 0`}},
	} {
		config := configIn(t.TempDir())
		evidence(t, config, nil)
		tamper(t, config.Path, c.do)
		if _, problems := verify(t, config, VerifyOptions{}); !slices.Equal(problems, c.want) {
			t.Errorf("%s: found\n%s\nwant\n%s", c.do, strings.Join(problems, "\n"), strings.Join(c.want, "\n"))
		}
	}
}
