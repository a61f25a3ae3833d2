package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/mattn/go-sqlite3"

	"linectl/internal/hint"
)

// connector opens connections without the process-wide registry of drivers.
type connector struct {
	driver sqlite3.SQLiteDriver
	dsn    string
}

func (c *connector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c *connector) Driver() driver.Driver                        { return &c.driver }

// dsn is a file: URI, in which ? and % of a path need escaping.
func dsn(path string, params string) string {
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: params}).String()
}

// writerPragmas are asked for in the DSN and read back: the driver ignores a parameter that it does
// not know, and a record that only seems to be durable is worse than none.
const writerParams = "_journal_mode=WAL&_synchronous=FULL&_foreign_keys=on&_busy_timeout=5000&_txlock=immediate&_auto_vacuum=incremental&_stmt_cache_size=32"

var writerPragmas = []struct {
	name, want, next string
}{
	{"journal_mode", "wal", "SQLite keeps no write-ahead log on this file system (a network folder?): put store.path on a local disk"},
	{"synchronous", "2", ""},
	{"foreign_keys", "1", ""},
	{"busy_timeout", "5000", ""},
	{"auto_vacuum", "2", "the file was made by another program: move it away and start again"},
}

func openWriter(ctx context.Context, path string) (*sql.DB, error) {
	// The log stays when the last connection closes, so that readers without write permission in the
	// folder can open the record while no daemon runs.
	persistLog := func(c *sqlite3.SQLiteConn) error {
		return c.SetFileControlInt("main", sqlite3.SQLITE_FCNTL_PERSIST_WAL, 1)
	}
	db := sql.OpenDB(&connector{sqlite3.SQLiteDriver{ConnectHook: persistLog}, dsn(path, writerParams)})
	db.SetMaxOpenConns(1)
	for _, pragma := range writerPragmas {
		var got string
		if err := db.QueryRowContext(ctx, "PRAGMA "+pragma.name).Scan(&got); err != nil {
			db.Close()
			return nil, err
		}
		if got != pragma.want {
			db.Close()
			return nil, hint.New(hint.Failure, fmt.Errorf("SQLite has %s = %s where %s is needed", pragma.name, got, pragma.want), pragma.next)
		}
	}
	// A log that one long reader let grow is cut back at the next checkpoint.
	if _, err := db.ExecContext(ctx, "PRAGMA journal_size_limit = 16777216"); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// pageSize is that of a new file, in bytes: of the usual heatmap, 28 x 28, five rows fill one to 98 %,
// where two rows leave a fifth of a page of 4 kB empty.
const pageSize = 8192

// setPageSize must come before the log is set up.
func setPageSize(ctx context.Context, path string) error {
	if info, err := os.Stat(path); err == nil && info.Size() > 0 {
		return nil
	}
	db := sql.OpenDB(&connector{sqlite3.SQLiteDriver{}, dsn(path, "")})
	defer db.Close()
	_, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA page_size = %d; PRAGMA auto_vacuum = incremental; PRAGMA user_version = 0", pageSize))
	return err
}

func makeFolder(path string) error {
	return os.MkdirAll(filepath.Dir(path), 0o755)
}

// lockFile holds the record for this process: two daemons on one record would both answer for its
// parts. The lock ends with the process, however it ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, hint.New(hint.Failure, errors.New("another linectl is writing it"), "stop the other one ('systemctl status linectl' shows the service), or give this one its own store.path")
		}
		return nil, fmt.Errorf("lock it: %w", err)
	}
	return f, nil
}

func quickCheck(ctx context.Context, db *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	var found string
	err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&found)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	case found != "ok":
		return hint.New(hint.Damage, fmt.Errorf("%w: %s", errDamaged, found), damageHint)
	}
	return nil
}

const damageHint = "keep the file as it is, put a backup in its place, and check the disk ('journalctl -k'); 'linectl salvage' reads what can be read"

// explain says in the user's words what SQLite or the system means, once, and what to do next.
func explain(path string, err error) error {
	if hint.Of(err) != "" {
		return err
	}
	folder := filepath.Dir(path)
	var e sqlite3.Error
	if errors.As(err, &e) {
		switch e.Code {
		case sqlite3.ErrFull:
			return hint.New(hint.Failure, err, "the disk is full: make room on the file system of "+folder+"; a line that runs goes on by itself")
		case sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
			return hint.New(hint.Damage, err, damageHint)
		case sqlite3.ErrReadonly, sqlite3.ErrCantOpen, sqlite3.ErrPerm, sqlite3.ErrAuth:
			return hint.New(hint.Failure, err, "linectl's user must own "+folder+" and be allowed to write there; is the file system mounted, and not read-only?")
		case sqlite3.ErrBusy, sqlite3.ErrLocked:
			return hint.New(hint.Failure, err, "another program holds the file locked: close it")
		case sqlite3.ErrIoErr:
			return hint.New(hint.Failure, err, "the disk reports an error: see 'journalctl -k' and the space on "+folder)
		}
	}
	switch {
	case errors.Is(err, os.ErrPermission), errors.Is(err, syscall.EROFS):
		return hint.New(hint.Failure, err, "linectl's user must own "+folder+" and be allowed to write there; is the file system mounted, and not read-only?")
	case errors.Is(err, syscall.ENOSPC):
		return hint.New(hint.Failure, err, "the disk is full: make room on the file system of "+folder)
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return hint.New(hint.Failure, err, "check store.path in the config")
	}
	return err
}

// refusedByDisk tells whether a later attempt may succeed: the fault lies with the disk or a lock, not
// with what was to be written.
func refusedByDisk(err error) bool {
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case sqlite3.ErrConstraint, sqlite3.ErrMismatch, sqlite3.ErrTooBig, sqlite3.ErrRange, sqlite3.ErrMisuse, sqlite3.ErrError:
		return false
	}
	return true
}
