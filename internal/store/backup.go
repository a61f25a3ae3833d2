package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/mattn/go-sqlite3"

	"linectl/internal/hint"
	"linectl/internal/whole"
)

// Copied is what a backup or a restore has brought.
type Copied struct {
	Record   string // the file of the record's copy
	Bytes    int64  // of the record
	Pictures int64  // copied this time
	Present  int64  // pictures that were there already
	Missing  int64  // pictures that the record names and that are gone
}

// backupName is the form of the copies' names: in the order of the alphabet, and so of time.
const backupName = "record-20060102T150405.db"

// Backup copies the record and the pictures that are not there yet into a folder, while the daemon runs.
// The copy of the record is checked before it gets its name. Of the copies the newest keep are left.
func (r *Reader) Backup(ctx context.Context, folder string, keep int, at time.Time) (c Copied, err error) {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return c, hint.New(hint.Failure, fmt.Errorf("backup: %w", err), "give a folder that linectl may write to")
	}
	c.Record = filepath.Join(folder, at.UTC().Format(backupName))
	if _, err := os.Stat(c.Record); err == nil {
		return c, hint.New(hint.Failure, fmt.Errorf("backup: %s is there already", c.Record), "try again in a second")
	}
	part := c.Record + ".unfinished"
	if err := errors.Join(r.copyRecord(ctx, part), checkCopy(ctx, part)); err != nil {
		return c, errors.Join(fmt.Errorf("backup to %s: %w", part, explain(part, err)), removeIfThere(part))
	}
	// Pictures first: a copy of the record that has its name has its pictures.
	copyOf, err := OpenReader(ctx, Config{Path: part, Pictures: r.pictures})
	if err != nil {
		return c, err
	}
	err = copyOf.copyPictures(ctx, r.pictures, filepath.Join(folder, "pictures"), &c)
	if err := errors.Join(err, copyOf.Close()); err != nil {
		return c, errors.Join(fmt.Errorf("backup: %w", err), removeIfThere(part))
	}
	info, err := os.Stat(part)
	if err != nil {
		return c, err
	}
	c.Bytes = info.Size()
	if err := errors.Join(syncFile(part), os.Rename(part, c.Record), whole.Settle(folder)); err != nil {
		return c, fmt.Errorf("backup: %w", err)
	}
	return c, forget(folder, keep)
}

// copyRecord lets SQLite write a whole copy of one moment; unlike its backup interface it ends also
// while somebody writes.
func (r *Reader) copyRecord(ctx context.Context, path string) error {
	db := sql.OpenDB(&connector{sqlite3.SQLiteDriver{}, dsn(r.path, "mode=ro&_busy_timeout=5000")})
	defer db.Close()
	_, err := db.ExecContext(ctx, `VACUUM INTO ?`, path)
	return err
}

func checkCopy(ctx context.Context, path string) error {
	if _, err := os.Stat(path); err != nil {
		return nil // copyRecord says why
	}
	db := openReadOnly(path)
	defer db.Close()
	var found string
	if err := db.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return hint.New(hint.Damage, fmt.Errorf("the record is damaged: %s", found), damageHint)
	}
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// forget removes the oldest copies of the record.
func forget(folder string, keep int) error {
	names, err := backups(folder)
	if err != nil || keep < 1 {
		return err
	}
	for len(names) > keep {
		if err := os.Remove(names[0]); err != nil {
			return err
		}
		names = names[1:]
	}
	return nil
}

// backups are the copies of the record in a folder, oldest first.
func backups(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if _, err := time.Parse(backupName, e.Name()); err == nil {
			names = append(names, filepath.Join(folder, e.Name()))
		}
	}
	slices.Sort(names)
	return names, nil
}

// copyPictures copies what the record names and has not removed.
func (r *Reader) copyPictures(ctx context.Context, from, to string, c *Copied) error {
	for after := int64(0); ; {
		slice, err := r.keptAfter(ctx, after)
		if err != nil || len(slice) == 0 {
			return err
		}
		for _, k := range slice {
			after = k.id
			if !filepath.IsLocal(k.path) {
				return hint.New(hint.Damage, fmt.Errorf("the path of a picture leads out of its folder: %s", k.path), "'linectl verify' tells what was changed")
			}
			target := filepath.Join(to, k.path)
			if info, err := os.Stat(target); err == nil && info.Size() == k.bytes {
				c.Present++
				continue
			}
			switch err := copyFile(filepath.Join(from, k.path), target); {
			case errors.Is(err, fs.ErrNotExist):
				c.Missing++
			case err != nil:
				return err
			default:
				c.Pictures++
			}
		}
	}
}

// copyFile makes a durable copy that has its name only when it is whole.
func copyFile(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	err = whole.Folder(filepath.Dir(to), 0o750)
	if err == nil {
		err = whole.Write(to, 0o640, func(w io.Writer) error {
			_, err := io.Copy(w, source)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("copy to %s: %w", to, err)
	}
	return nil
}

// Restore brings a backup into the empty place that the config names: the newest copy of the record in
// a folder, or the copy that from itself names. Chain and pictures are verified before the record gets
// its name; problems go to report, and then nothing is restored.
func Restore(ctx context.Context, config Config, from string, report func(problem string)) (c Copied, err error) {
	file := from
	if info, err := os.Stat(from); err != nil {
		return c, hint.New(hint.Usage, fmt.Errorf("restore: %w", err), "name the folder that 'linectl backup' wrote to")
	} else if info.IsDir() {
		names, err := backups(from)
		if err != nil {
			return c, err
		}
		if len(names) == 0 {
			return c, hint.New(hint.NoMatch, fmt.Errorf("restore: %s holds no copy of a record", from), "name the folder that 'linectl backup' wrote to")
		}
		file = names[len(names)-1]
	}
	for _, path := range []string{config.Path, config.Path + "-wal"} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return c, hint.New(hint.Failure, fmt.Errorf("restore: %s is there already", path), "move it away: a record is never written over")
		}
	}
	if err := makeFolder(config.Path); err != nil {
		return c, err
	}
	lock, err := lockFile(config.Path)
	if err != nil {
		return c, err
	}
	defer lock.Close()
	part := config.Path + ".unfinished"
	if err := copyFile(file, part); err != nil {
		return c, fmt.Errorf("restore: %w", err)
	}
	defer removeRecord(part)
	if err := bringUpToDate(ctx, part); err != nil {
		return c, fmt.Errorf("restore: %w", explain(part, err))
	}
	place := config
	place.Path = part
	reader, err := OpenReader(ctx, place)
	if err != nil {
		return c, err
	}
	defer reader.Close()
	c.Record = file
	if err := reader.copyPictures(ctx, filepath.Join(filepath.Dir(file), "pictures"), config.Pictures, &c); err != nil {
		return c, fmt.Errorf("restore: %w", err)
	}
	v, err := reader.Verify(ctx, VerifyOptions{Read: true}, report)
	if err != nil {
		return c, err
	}
	if v.Problems > 0 {
		return c, hint.New(hint.Damage, fmt.Errorf("restore: %s is not what was written: %d problems", file, v.Problems), "try an older copy: name its file")
	}
	if info, err := os.Stat(part); err == nil {
		c.Bytes = info.Size()
	}
	if err := errors.Join(reader.Close(), os.Rename(part, config.Path), whole.Settle(filepath.Dir(config.Path))); err != nil {
		return c, fmt.Errorf("restore: %w", err)
	}
	return c, closeCopy(ctx, config.Path)
}

// removeRecord removes a record with the files that SQLite keeps beside it.
func removeRecord(path string) (err error) {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		err = errors.Join(err, removeIfThere(path+suffix))
	}
	return err
}

// bringUpToDate gives a copy that an older linectl wrote the schema of this one.
func bringUpToDate(ctx context.Context, path string) error {
	reader := openReadOnly(path)
	version, err := versionOf(ctx, reader)
	if err := errors.Join(err, reader.Close()); err != nil {
		return err
	}
	if version == 0 {
		return hint.New(hint.Damage, errors.New("the file holds no record"), "name a copy that 'linectl backup' made")
	}
	db, err := openWriter(ctx, path)
	if err != nil {
		return err
	}
	return errors.Join(migrate(ctx, db), db.Close())
}

// closeCopy notes that the copy was not cut off, though the daemon was running when it was made.
func closeCopy(ctx context.Context, path string) error {
	db, err := openWriter(ctx, path)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `DELETE FROM meta WHERE key = 'in_use'`)
	return errors.Join(err, db.Close())
}
