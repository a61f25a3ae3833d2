package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mattn/go-sqlite3"

	"linectl/internal/hint"
	"linectl/internal/whole"
)

// asideName is the end of the name under which a damaged record is kept.
const asideName = ".damaged-20060102T150405"

// errDamaged is what the quick check says of a record.
var errDamaged = errors.New("it is damaged")

// damaged tells whether an error means that the content of a record is broken, and not that the disk or
// the config is wrong.
func damaged(err error) bool {
	var e sqlite3.Error
	return errors.Is(err, errDamaged) || errors.As(err, &e) && (e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB)
}

// isRecord tells whether a file was a record of ours: by its first bytes, which SQLite's file format fixes, or where
// these are zeros, as a file system leaves them after a power loss, by its rows. What was never ours is not moved.
func isRecord(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 72)
	if _, err := io.ReadFull(f, head); err != nil {
		return false
	}
	if bytes.Equal(head, make([]byte, len(head))) {
		return hasLinks(path)
	}
	return bytes.HasPrefix(head, []byte(sqliteMagic)) && binary.BigEndian.Uint32(head[68:]) == applicationID
}

// hasLinks looks for a row of the chain.
func hasLinks(path string) bool {
	p, err := openPages(path)
	if err != nil {
		return false
	}
	defer p.close()
	var damaged int64
	page := make([]byte, p.size)
	for n := int64(1); n <= p.whole; n++ {
		if p.page(uint32(n), page) != nil {
			continue
		}
		for c := range p.cells(uint32(n), page, &damaged) {
			if len(c.values) == 4 && c.values[0] == nil {
				kind, _ := c.values[1].(int64)
				hash, _ := c.values[3].([]byte)
				if kind >= 1 && int(kind) <= len(chained) && len(hash) == 32 {
					return true
				}
			}
		}
	}
	return false
}

// setAside gives a damaged record another name, its log and its pictures with it, so that the line can
// start with a new record. Nothing is deleted: the ids of the new record begin at 1, and its pictures would
// otherwise take the names of the old ones.
func setAside(c Config, at time.Time) (aside string, err error) {
	suffix := at.UTC().Format(asideName)
	aside = c.Path + suffix
	if _, err := os.Lstat(aside); !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("set it aside: %s is there already", aside)
	}
	found, err := years(c.Pictures)
	if err != nil {
		return "", fmt.Errorf("set its pictures aside: %w", err)
	}
	if len(found) > 0 {
		folder := filepath.Join(c.Pictures, suffix[1:])
		if err := os.Mkdir(folder, 0o755); err != nil {
			return "", fmt.Errorf("set its pictures aside: %w", err)
		}
		for _, year := range found {
			if err := os.Rename(filepath.Join(c.Pictures, year), filepath.Join(folder, year)); err != nil {
				return "", fmt.Errorf("set its pictures aside: %w", err)
			}
		}
		// Before the record goes: after a power loss a new one would find them under names that it gives itself.
		if err := errors.Join(whole.Settle(folder), whole.Settle(c.Pictures)); err != nil {
			return "", fmt.Errorf("set its pictures aside: %w", err)
		}
	}
	// A database must never be seen without its log, whenever the power goes: so the log has both names
	// while the database changes its own.
	if err := os.Link(c.Path+"-wal", aside+"-wal"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("set it aside: %w", err)
	}
	if err := os.Rename(c.Path, aside); err != nil {
		return "", fmt.Errorf("set it aside: %w", err)
	}
	return aside, errors.Join(removeIfThere(c.Path+"-wal"), removeIfThere(c.Path+"-shm"), whole.Settle(filepath.Dir(c.Path)))
}

// beginAnew puts a new record in the place of a damaged one, and says so in it.
func (s *Store) beginAnew(ctx context.Context, cause error) error {
	s.closeRecord()
	aside, err := setAside(s.config, time.Now())
	if err != nil {
		return errors.Join(cause, err)
	}
	s.log.Error("the record was damaged; it is kept, and the line starts with a new one", "kept as", aside, "damage", cause)
	if err := s.openRecord(ctx); err != nil {
		return err
	}
	return inLedger(ctx, s.db, func(tx *ledger) error {
		return insertEvent(tx, time.Now(), "record-damaged", "linectl", fmt.Sprintf("the record before this one is kept as %s: %v", aside, cause))
	})
}

// noneAside is an error while a damaged record waits for somebody.
func noneAside(c Config) error {
	entries, err := os.ReadDir(filepath.Dir(c.Path))
	var kept []string
	for _, e := range entries {
		end, ours := strings.CutPrefix(e.Name(), filepath.Base(c.Path))
		if _, err := time.Parse(asideName, end); ours && err == nil {
			kept = append(kept, e.Name())
		}
	}
	if err != nil || len(kept) == 0 {
		return err
	}
	return hint.New(hint.Damage, fmt.Errorf("a damaged record is kept as %s; the line runs with a newer one", filepath.Join(filepath.Dir(c.Path), kept[len(kept)-1])),
		"see the manual, 'When the record is damaged'; move the file and those of its name elsewhere when it is dealt with")
}
