package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"linectl/internal/whole"
)

// orphans is the folder within the pictures for files that no row of this record names. They may be the evidence of
// a record that was moved away, lost, or is older than they are: only a person removes them.
const orphans = "orphans"

var (
	yearName    = regexp.MustCompile(`^\d{4}$`)
	pictureName = regexp.MustCompile(`^\d{4}/\d\d/\d\d/(\d+)-[-_0-9A-Za-z]*\.(png|jpg)$`)
)

// years are the folders of pictures by year. What else lies beside them is nobody's business here: what was set
// aside, lost+found of a disk, snapshots of a share.
func years(folder string) (names []string, err error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if yearName.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// sweep removes the files whose removal a crash cut off, and moves those without a row to the orphans. Pictures and
// their rows are written in the order of the parts: a file older than the newest row will not get one any more.
func (r *Reader) sweep(ctx context.Context, folder string, commit commit, dry bool, result *Pruning) error {
	var newest int64
	if err := r.db.QueryRowContext(ctx, `SELECT coalesce((SELECT inspection_id FROM frame ORDER BY id DESC LIMIT 1), 0)`).Scan(&newest); err != nil {
		return r.explain(err)
	}
	names, err := years(folder)
	if err != nil {
		return err
	}
	for _, year := range names {
		err := eachFile(filepath.Join(folder, year), func(path string, bytes int64) error {
			name, err := filepath.Rel(folder, path)
			if err != nil {
				return err
			}
			match := pictureName.FindStringSubmatch(filepath.ToSlash(name))
			if match == nil {
				return nil // not ours
			}
			part, err := strconv.ParseInt(match[1], 10, 64)
			if err != nil || part >= newest {
				return nil
			}
			var removed sql.NullBool // neither: there is no row
			err = r.db.QueryRowContext(ctx, `SELECT min(EXISTS (SELECT 1 FROM removal WHERE frame_id = f.id)) FROM frame f WHERE f.inspection_id = ? AND f.path = ?`, part, name).Scan(&removed)
			switch {
			case err != nil:
				return r.explain(err)
			case !removed.Valid:
				result.Orphans++
				if dry {
					result.OrphansKept, result.OrphanBytes = result.OrphansKept+1, result.OrphanBytes+bytes
					return nil
				}
				return toOrphans(folder, name)
			case removed.Bool && !dry:
				return removeIfThere(path)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	err = eachFile(filepath.Join(folder, orphans), func(_ string, bytes int64) error {
		result.OrphansKept, result.OrphanBytes = result.OrphansKept+1, result.OrphanBytes+bytes
		return nil
	})
	if err != nil || dry || result.Orphans == 0 {
		return err
	}
	return commit(ctx, "event", func(tx *ledger) error {
		return insertEvent(tx, time.Now(), "pictures-orphaned", "linectl",
			fmt.Sprintf("%d files that no row names were moved to %s", result.Orphans, filepath.Join(folder, orphans)))
	})
}

// eachFile calls do for every file below a folder that is there.
func eachFile(folder string, do func(path string, bytes int64) error) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = entry.Info(); err == nil {
				err = do(path, info.Size())
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone meanwhile
		}
		return err
	})
}

// toOrphans moves a picture, by its name within the folder, in the place of none that is there.
func toOrphans(folder, name string) error {
	to := filepath.Join(folder, orphans, name)
	if err := whole.Folder(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	free := to
	for n := 2; ; n++ {
		if _, err := os.Lstat(free); errors.Is(err, fs.ErrNotExist) {
			return os.Rename(filepath.Join(folder, name), free)
		} else if err != nil {
			return err
		}
		free = fmt.Sprintf("%s.%d", to, n)
	}
}

// noteOthers says of a record without parts that pictures are there already: it may be in the place of another, whose
// evidence they are.
func (p *pictures) noteOthers() {
	found, err := years(p.folder)
	if err != nil || len(found) == 0 {
		return // where the folder cannot be read, prepare says so
	}
	detail := fmt.Sprintf("%s is empty, and %s holds pictures of %s to %s: if a record was here, stop linectl and put it, or its newest backup, back",
		p.record, p.folder, found[0], found[len(found)-1])
	p.log.Error("the record begins anew beside pictures of another one", "detail", detail)
	p.note("record-begun", detail)
}
