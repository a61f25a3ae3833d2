package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"time"

	"crypto/rand"

	"linectl/internal/hint"
)

// applicationID marks an SQLite file as a linectl record: "line" in ASCII.
const applicationID = 0x6c696e65

// schemas holds one file a version, which leads to it from the one before. A file that has been
// released is never changed.
//
//go:embed schema/*.sql
var schemas embed.FS

// newest is the version of the schema that this linectl writes.
const newest = 2

// refuseForeign looks at an existing file before anything is set in it.
func refuseForeign(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errNoFile()
	}
	db := openReadOnly(path)
	defer db.Close()
	version, err := versionOf(ctx, db)
	if err != nil || version > 0 {
		return err
	}
	var tables int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return err
	}
	if tables > 0 {
		return errForeign()
	}
	return nil
}

func errNoFile() error {
	return hint.New(hint.Usage, errors.New("it is not a file"), "store.path names the file of the record, not its folder")
}

func errForeign() error {
	return hint.New(hint.Damage, errors.New("the file is an SQLite database of another program"), "give store.path a name of its own")
}

// versionOf is the version of the record's schema, 0 for a file without one.
func versionOf(ctx context.Context, db *sql.DB) (version int, err error) {
	var application int
	if err := db.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version)`).Scan(&application, &version); err != nil {
		return 0, err
	}
	switch {
	case application == 0 && version == 0:
		return 0, nil
	case application != applicationID:
		return 0, errForeign()
	case version > newest:
		return 0, errNewer(version)
	}
	return version, nil
}

func errNewer(version int) error {
	return hint.New(hint.Damage, fmt.Errorf("it has schema version %d; this linectl knows versions up to %d", version, newest), "install the linectl that wrote it, or a newer one")
}

// migrate brings the schema to the newest version, one transaction a step: a crash leaves a whole version.
func migrate(ctx context.Context, db *sql.DB) error {
	version, err := versionOf(ctx, db)
	if err != nil {
		return err
	}
	for next := version + 1; next <= newest; next++ {
		if err := migrateTo(ctx, db, next); err != nil {
			return fmt.Errorf("bring the schema to version %d: %w", next, err)
		}
	}
	return nil
}

func migrateTo(ctx context.Context, db *sql.DB, version int) error {
	script, err := schemas.ReadFile(fmt.Sprintf("schema/%d.sql", version))
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, string(script)); err != nil {
		return err
	}
	if version == 1 {
		if err := sign(ctx, tx); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, version)); err != nil {
		return err
	}
	return tx.Commit()
}

// sign gives a new record its identity: rows that leave this machine are told apart by it and their id.
func sign(ctx context.Context, tx *sql.Tx) error {
	software := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		software = info.Main.Path + " " + info.Main.Version
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES ('uuid', ?), ('created_at', ?), ('created_by', ?)`,
		newUUID(), time.Now().UTC().Format(time.RFC3339), software)
	return err
}

// newUUID is a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}
