package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"time"

	"github.com/mattn/go-sqlite3"

	"linectl/internal/hint"
	"linectl/internal/part"
)

// Reader answers questions about the record. It changes nothing, and works beside a running daemon.
type Reader struct {
	path     string
	pictures string
	db       *sql.DB
}

// OpenReader opens an existing record for reading only.
func OpenReader(ctx context.Context, config Config) (*Reader, error) {
	r := &Reader{path: config.Path, pictures: config.Pictures, db: openReadOnly(config.Path)}
	if err := r.check(ctx); err != nil {
		r.db.Close()
		return nil, fmt.Errorf("open the record %s: %w", config.Path, err)
	}
	return r, nil
}

func (r *Reader) check(ctx context.Context) error {
	switch info, err := os.Stat(r.path); {
	case errors.Is(err, fs.ErrNotExist):
		return hint.New(hint.Failure, errors.New("there is no such file"), "'linectl run' makes it; check store.path in the config")
	case err != nil:
		return explain(r.path, err)
	case !info.Mode().IsRegular():
		return errNoFile()
	}
	version, err := versionOf(ctx, r.db)
	switch {
	case refusedByDisk(err) && hint.Of(err) == "":
		return r.explain(err)
	case err != nil:
		return err
	case version == 0:
		return hint.New(hint.Damage, errors.New("the file holds no record"), "check store.path in the config")
	case version < newest:
		return hint.New(hint.Failure, fmt.Errorf("it has schema version %d, this linectl reads version %d", version, newest), "start the daemon once: it brings the record up to date")
	}
	return nil
}

// explain is that of a reader, who needs other rights than the daemon.
func (r *Reader) explain(err error) error {
	var e sqlite3.Error
	if errors.As(err, &e) && (e.Code == sqlite3.ErrCantOpen || e.Code == sqlite3.ErrReadonly || e.Code == sqlite3.ErrPerm) {
		return hint.New(hint.Failure, err, "you need the right to read the file and those beside it (-wal, -shm); try as linectl's user or as root")
	}
	return explain(r.path, err)
}

// readers is how many questions are answered at the same time.
const readers = 8

func openReadOnly(path string) *sql.DB {
	db := sql.OpenDB(&connector{sqlite3.SQLiteDriver{}, dsn(path, "mode=ro&_query_only=1&_busy_timeout=5000&_stmt_cache_size=16")})
	db.SetMaxOpenConns(readers)
	return db
}

// Close ends reading.
func (r *Reader) Close() error { return r.db.Close() }

func verdictFrom(text string) part.Verdict {
	v, _ := part.ParseVerdict(text) // what is neither is a reject
	return v
}

// reasonFrom is Unknown for a reason that only another version of linectl knows.
func reasonFrom(text string) part.Reason {
	r, err := part.ReasonByName(text)
	if err != nil {
		return part.Unknown
	}
	return r
}

// finite is the number of a REAL column: NaN where it is NULL.
func finite(v sql.NullFloat64) float64 {
	if !v.Valid {
		return math.NaN()
	}
	return v.Float64
}

func instant(us int64) time.Time { return time.UnixMicro(us).UTC() }

func sequenceFrom(value sql.NullInt64, bits int) part.Sequence {
	if !value.Valid {
		return part.Sequence{}
	}
	return part.Sequence{Value: uint32(value.Int64), Bits: bits}
}
