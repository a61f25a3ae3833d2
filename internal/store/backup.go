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
	"strings"
	"syscall"
	"time"

	"github.com/mattn/go-sqlite3"

	"linectl/internal/hint"
	"linectl/internal/whole"
)

// Copied is what a backup or a restore has brought.
type Copied struct {
	File     string    `json:"record"` // of the record's copy
	UUID     string    `json:"uuid"`   // of the record
	Links    int64     `json:"links"`
	Until    time.Time `json:"until"`    // when its newest part was seen
	Bytes    int64     `json:"bytes"`    // of the record
	Pictures int64     `json:"pictures"` // copied this time
	Present  int64     `json:"present"`  // pictures that were there already
	Missing  int64     `json:"missing"`  // pictures that are gone without having been removed, or changed
}

// Backup copies the record and the pictures that are not there yet into a folder, while the daemon runs.
// The copy of the record is checked before it gets its name. Of the copies whose rows are all in this one the newest
// are left, keep with this one; copies of other records stay. What cannot be read there is told to report.
func (r *Reader) Backup(ctx context.Context, folder string, keep int, at time.Time, report func(problem string)) (c Copied, err error) {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return c, hint.New(hint.Failure, fmt.Errorf("backup: %w", err), "give a folder that linectl may write to")
	}
	lock, err := lockForBackup(filepath.Dir(r.path))
	if err != nil {
		return c, fmt.Errorf("backup: %w", r.explain(err))
	}
	defer lock.Close()
	if err := r.db.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = 'uuid'`).Scan(&c.UUID); err != nil {
		return c, r.explain(err)
	}
	part := filepath.Join(folder, "record-"+plain(c.UUID)+".unfinished") // what has this name was left by a backup that was killed
	if err := removeUnfinished(folder); err != nil {
		return c, fmt.Errorf("backup: %w", err)
	}
	if err := errors.Join(removeRecord(part), r.copyRecord(ctx, part), checkCopy(ctx, part)); err != nil {
		return c, errors.Join(fmt.Errorf("backup to %s: %w", part, explain(part, err)), removeIfThere(part))
	}
	// Pictures first: a copy of the record that has its name has its pictures.
	copyOf, err := OpenReader(ctx, Config{Path: part, Pictures: r.pictures})
	if err != nil {
		return c, err
	}
	err = copyOf.savePictures(ctx, r, r.pictures, filepath.Join(folder, "pictures"), &c)
	if err := errors.Join(err, copyOf.Close()); err != nil {
		return c, errors.Join(fmt.Errorf("backup: %w", err), removeIfThere(part))
	}
	if err = syncFile(part); err == nil {
		c.File, err = nameCopy(part, at)
	}
	if err != nil {
		return c, fmt.Errorf("backup: %w", err)
	}
	made, err := readCopy(ctx, c.File)
	if err != nil {
		return c, fmt.Errorf("backup: %w", err)
	}
	if err := c.note(made); err != nil {
		return c, err
	}
	if err := forget(ctx, made, keep, report); err != nil {
		return c, fmt.Errorf("backup: %w", err)
	}
	return c, nil
}

func (c *Copied) note(made recordCopy) error {
	c.File, c.UUID, c.Links, c.Until = made.path, made.uuid, made.last.n, made.until
	info, err := os.Stat(made.path)
	if err == nil {
		c.Bytes = info.Size()
	}
	return err
}

// lockForBackup holds the folder of a record for one backup at a time, whoever makes it: readers write no file there.
func lockForBackup(folder string) (*os.File, error) {
	f, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, hint.New(hint.Failure, fmt.Errorf("another backup of the record in %s is under way", folder), "wait for its end")
		}
		return nil, fmt.Errorf("lock %s: %w", folder, err)
	}
	return f, nil
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

// eachKept calls do for every picture that the record names and has not removed.
func (r *Reader) eachKept(ctx context.Context, do func(kept) error) error {
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
			if err := do(k); err != nil {
				return err
			}
		}
	}
}

// inBackup is the name of a picture below pictures in the folder of backups, by its content: another record, or one that
// was restored and went on otherwise, may have its pictures there under the same ids.
func (k kept) inBackup() string {
	extension := filepath.Ext(k.path)
	return strings.TrimSuffix(k.path, extension) + "-" + plain(k.sum[:min(len(k.sum), 16)]) + extension
}

// read is the picture below a folder, under a name, if it still is what was kept.
func (k kept) read(folder, name string) ([]byte, error) {
	return Picture{Path: filepath.Join(folder, name), SHA256: k.sum}.Read()
}

// savePictures copies to a backup what the record names. One that is gone or changed is missing unless the live record
// says that retention has removed it since.
func (r *Reader) savePictures(ctx context.Context, live *Reader, from, to string, c *Copied) error {
	return r.eachKept(ctx, func(k kept) error {
		target := filepath.Join(to, k.inBackup())
		if info, err := os.Stat(target); err == nil && info.Size() == k.bytes {
			c.Present++
			return nil
		}
		// A linectl before gave pictures there the names that they have in the record, the last record's in place of all.
		if info, err := os.Stat(filepath.Join(to, k.path)); err == nil && info.Size() == k.bytes {
			if _, err := k.read(to, k.path); err == nil && os.Rename(filepath.Join(to, k.path), target) == nil {
				c.Present++
				return nil
			}
		}
		data, err := k.read(from, k.path)
		switch {
		case Lost(err):
			removed, err := live.removedSince(ctx, k.id, 0)
			if err != nil {
				return live.explain(err)
			}
			c.Missing += 1 - flag(removed)
			return nil
		case err != nil:
			return err
		}
		c.Pictures++
		return writePicture(target, data)
	})
}

// bringPictures copies from a backup what the record names. What is not there, as it was kept, Verify tells.
func (r *Reader) bringPictures(ctx context.Context, from, to string, c *Copied) error {
	return r.eachKept(ctx, func(k kept) error {
		if _, err := k.read(to, k.path); err == nil {
			c.Present++
			return nil
		}
		data, err := k.read(from, k.inBackup())
		if err != nil {
			data, err = k.read(from, k.path)
		}
		switch {
		case Lost(err):
			return nil
		case err != nil:
			return err
		}
		if _, err := os.Lstat(filepath.Join(to, k.path)); err == nil { // of another record
			if err := toOrphans(to, k.path); err != nil {
				return err
			}
		}
		c.Pictures++
		return writePicture(filepath.Join(to, k.path), data)
	})
}

func writePicture(path string, data []byte) error {
	err := whole.Folder(filepath.Dir(path), 0o750)
	if err == nil {
		err = whole.Write(path, 0o640, whole.Bytes(data))
	}
	if err != nil {
		return fmt.Errorf("copy to %s: %w", path, err)
	}
	return nil
}

// copyFile makes a copy that is on the disk, under a name that nothing has.
func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	if err := errors.Join(err, target.Sync(), target.Close()); err != nil {
		return fmt.Errorf("copy to %s: %w", to, err)
	}
	return nil
}

// Restore brings a backup into the empty place that the config names: the newest copy of the record in
// a folder, or the copy that from itself names. Chain and pictures are verified before the record gets
// its name; problems go to report. Where the record is not what was written nothing is restored; where pictures are gone
// or changed they are counted.
func Restore(ctx context.Context, config Config, from string, report func(problem string)) (c Copied, err error) {
	source, err := findCopy(ctx, from, report)
	if err != nil {
		return c, fmt.Errorf("restore: %w", err)
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
	part := config.Path + ".unfinished" // what has this name was left by a restore that was killed
	defer removeRecord(part)
	if err := errors.Join(removeRecord(part), copyFile(source.path, part)); err != nil {
		return c, fmt.Errorf("restore: %w", err)
	}
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
	if err := c.note(source); err != nil {
		return c, fmt.Errorf("restore: %w", err)
	}
	if err := reader.bringPictures(ctx, filepath.Join(filepath.Dir(source.path), "pictures"), config.Pictures, &c); err != nil {
		return c, fmt.Errorf("restore: %w", err)
	}
	v, err := reader.Verify(ctx, VerifyOptions{Read: true}, report)
	if err != nil {
		return c, err
	}
	if wrong := v.Problems - v.Lost - v.Counts; wrong > 0 {
		return c, hint.New(hint.Damage, fmt.Errorf("restore: %s is not what was written: %d problems", source.path, wrong),
			"try an older copy: name its file; 'linectl salvage' takes out what can be read")
	}
	c.Missing = v.Lost
	if err := reader.Close(); err != nil {
		return c, fmt.Errorf("restore: %w", err)
	}
	if v.Counts > 0 { // every row is as it was written: what is worked out of the rows costs nobody the record
		report("slot and reject are worked out anew from the rows")
		if err := recountIn(ctx, part); err != nil {
			return c, fmt.Errorf("restore: count the parts anew: %w", explain(part, err))
		}
	}
	if err := errors.Join(os.Rename(part, config.Path), whole.Settle(filepath.Dir(config.Path))); err != nil {
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
	db, err := openWriter(ctx, path)
	if err != nil {
		return err
	}
	return errors.Join(migrate(ctx, db), db.Close())
}

func recountIn(ctx context.Context, path string) error {
	db, err := openWriter(ctx, path)
	if err != nil {
		return err
	}
	return errors.Join(recountAll(ctx, db), db.Close())
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
