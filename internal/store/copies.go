package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"linectl/internal/hint"
	"linectl/internal/whole"
)

// backupName is the form of the copies' names. The wall clock that it comes from may be wrong: it orders nothing.
const backupName = "record-20060102T150405.db"

// nameCopy gives a copy that is whole the name of that second, or of the next that is free: a copy of another record may
// have it.
func nameCopy(part string, at time.Time) (path string, err error) {
	for {
		path = filepath.Join(filepath.Dir(part), at.UTC().Format(backupName))
		if err = whole.Name(part, path); !errors.Is(err, fs.ErrExist) {
			return path, err
		}
		at = at.Add(time.Second)
	}
}

// removeUnfinished removes what a linectl before left of backups that were killed. What is younger than a day may be
// one that such a linectl of another line makes now.
func removeUnfinished(folder string) error {
	entries, err := os.ReadDir(folder)
	for _, e := range entries {
		if _, err := time.Parse(backupName+".unfinished", e.Name()); err != nil {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			if err := removeRecord(filepath.Join(folder, e.Name())); err != nil {
				return err
			}
		}
	}
	return err
}

// recordCopy is a copy of a record as Backup makes it.
type recordCopy struct {
	path  string
	uuid  string    // of the record
	last  link      // the newest
	until time.Time // when its newest part was seen; zero where it has none
}

func (c recordCopy) String() string {
	return fmt.Sprintf("%s (record %s, %d links, parts up to %s)", filepath.Base(c.path), c.uuid, c.last.n, c.until.Format(time.RFC3339))
}

func readCopy(ctx context.Context, path string) (c recordCopy, err error) {
	db := openReadOnly(path)
	defer db.Close()
	version, err := versionOf(ctx, db)
	if err == nil && version == 0 {
		err = hint.New(hint.Damage, errors.New("the file holds no record"), "name a copy that 'linectl backup' made")
	}
	var hash []byte
	var until sql.NullInt64
	if err == nil {
		err = db.QueryRowContext(ctx, `SELECT (SELECT value FROM meta WHERE key = 'uuid'), coalesce((SELECT max(n) FROM link), 0),
			(SELECT hash FROM link ORDER BY n DESC LIMIT 1), (SELECT at FROM inspection ORDER BY id DESC LIMIT 1)`).Scan(&c.uuid, &c.last.n, &hash, &until)
	}
	if err != nil {
		return c, fmt.Errorf("read %s: %w", path, explain(path, err))
	}
	c.path = path
	copy(c.last.hash[:], hash)
	if until.Valid {
		c.until = instant(until.Int64)
	}
	return c, nil
}

// contains tells whether the chain of another copy leads on to this one: then every row of the other is in it.
func (c recordCopy) contains(ctx context.Context, other recordCopy) (bool, error) {
	if c.uuid != other.uuid || other.last.n == 0 {
		return c.uuid == other.uuid, nil
	}
	db := openReadOnly(c.path)
	defer db.Close()
	var hash []byte
	err := db.QueryRowContext(ctx, `SELECT hash FROM link WHERE n = ?`, other.last.n).Scan(&hash)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return bytes.Equal(hash, other.last.hash[:]), err
}

// copiesIn are the copies in a folder, those with most links first. One that cannot be read is told to report.
func copiesIn(ctx context.Context, folder string, report func(problem string)) (copies []recordCopy, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if _, err := time.Parse(backupName, e.Name()); err != nil {
			continue
		}
		c, err := readCopy(ctx, filepath.Join(folder, e.Name()))
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			report(fmt.Sprintf("not looked at: %v", err))
			continue
		}
		copies = append(copies, c)
	}
	slices.SortFunc(copies, func(a, b recordCopy) int {
		return cmp.Or(cmp.Compare(b.last.n, a.last.n), strings.Compare(b.path, a.path))
	})
	return copies, nil
}

// forget removes the oldest copies of which everything is in the one that was just made. So neither the wall clock nor
// another record in the folder, nor a copy of what a restored record did not go on from, costs a copy that somebody needs.
func forget(ctx context.Context, made recordCopy, keep int, report func(problem string)) error {
	copies, err := copiesIn(ctx, filepath.Dir(made.path), report)
	if err != nil {
		return err
	}
	for _, c := range copies {
		older := false
		if c.path != made.path {
			if older, err = made.contains(ctx, c); err != nil {
				return err
			}
		}
		if !older {
			continue
		}
		if keep--; keep < 1 {
			if err := os.Remove(c.path); err != nil {
				return err
			}
		}
	}
	return nil
}

// findCopy is the copy that a path names, or the newest in the folder that it names, which must be of one record.
func findCopy(ctx context.Context, path string, report func(problem string)) (newest recordCopy, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return newest, hint.New(hint.Usage, err, "name the folder that 'linectl backup' wrote to")
	}
	if !info.IsDir() {
		return readCopy(ctx, path)
	}
	copies, err := copiesIn(ctx, path, report)
	if err != nil {
		return newest, err
	}
	if len(copies) == 0 {
		return newest, hint.New(hint.NoMatch, fmt.Errorf("%s holds no copy of a record", path), "name the folder that 'linectl backup' wrote to")
	}
	var apart []recordCopy // of none of these everything is in another
	var names []string
next:
	for _, c := range copies {
		for _, a := range apart {
			in, err := a.contains(ctx, c)
			if err != nil {
				return newest, err
			}
			if in {
				continue next
			}
		}
		apart, names = append(apart, c), append(names, c.String())
	}
	if len(apart) > 1 {
		return newest, hint.New(hint.Usage, fmt.Errorf("%s holds copies of %d records, or of one that was restored and went on otherwise; the newest of each: %s", path, len(apart), strings.Join(names, "; ")),
			"name the file of the one that you want")
	}
	return apart[0], nil
}
