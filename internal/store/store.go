// Package store is the system of record: what was seen, decided and told to the PLC, part by part.
//
// It owns the schema, the one writer, the readers, the picture files and their rows. A row of a part
// is written once and never changed; what becomes of the result on its way to the PLC follows as rows
// of their own. It refuses a file that is not its own, that a newer linectl wrote, or that SQLite does
// not open exactly as asked. It decides nothing about parts.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"linectl/internal/part"
)

// Store writes the record, and reads it through the Reader within. Only one may be open on a file.
type Store struct {
	*Reader
	config   Config
	log      *slog.Logger
	db       *sql.DB
	lock     *os.File
	seals    *sealer
	empty    bool               // it had no part when it was opened, and is in no other's place
	ending   context.CancelFunc // ends what runs beside the writer
	beside   sync.WaitGroup
	writer   *writer
	pictures *pictures
}

// Open opens the record for writing, and makes it where there is none. A record that is damaged is set
// aside, whole, and a new one begun. Its errors carry a hint, and the kind Damage where the file is not
// what it should be.
func Open(ctx context.Context, config Config, log *slog.Logger) (*Store, error) {
	s := &Store{config: config, log: log}
	if err := s.open(ctx); err != nil {
		s.release()
		return nil, explain(config.Path, fmt.Errorf("open the record %s: %w", config.Path, err))
	}
	s.writer = newWriter(s.db, s.seals, config.Queue, log)
	s.pictures = newPictures(config, s.empty, s.writer, log)
	ctx, s.ending = context.WithCancel(context.WithoutCancel(ctx))
	s.beside.Go(func() { s.retain(ctx) })
	s.beside.Go(func() { s.fillThumbnails(ctx) })
	return s, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	if err := makeFolder(s.config.Path); err != nil {
		return err
	}
	if s.lock, err = lockFile(s.config.Path); err != nil {
		return err
	}
	if err = s.openRecord(ctx); damaged(err) && isRecord(s.config.Path) {
		return s.beginAnew(ctx, err)
	}
	if err != nil {
		return err
	}
	return s.db.QueryRowContext(ctx, `SELECT NOT EXISTS (SELECT 1 FROM inspection)`).Scan(&s.empty)
}

// openRecord opens what open has locked.
func (s *Store) openRecord(ctx context.Context) (err error) {
	if err := refuseForeign(ctx, s.config.Path); err != nil {
		return err
	}
	if err := setPageSize(ctx, s.config.Path); err != nil {
		return err
	}
	if s.db, err = openWriter(ctx, s.config.Path); err != nil {
		return err
	}
	if err := migrate(ctx, s.db); err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	if s.seals, err = newSealer(ctx, s.db, s.config.SealKey); err != nil {
		return err
	}
	s.Reader, err = OpenReader(ctx, s.config)
	return err
}

// begin notes that the record is in use, and checks it where the last use did not end by Close.
func (s *Store) begin(ctx context.Context) error {
	var unclean bool
	if err := s.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM meta WHERE key = 'in_use')`).Scan(&unclean); err != nil {
		return err
	}
	if unclean {
		s.log.Warn("the record was not closed: power loss or a kill; checking it", "path", s.config.Path)
		switch err := quickCheck(ctx, s.db); {
		case errors.Is(err, context.DeadlineExceeded):
			s.log.Warn("the check of the record was cut short; check it whole when the line stands", "limit", checkLimit)
		case err != nil:
			return err
		}
		if err := inLedger(ctx, s.db, func(tx *ledger) error {
			return insertEvent(tx, time.Now(), "unclean-stop", "linectl", "the record had not been closed")
		}); err != nil {
			return err
		}
	}
	_, err := s.db.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES ('in_use', '1') ON CONFLICT DO NOTHING`)
	return err
}

// Insert writes the row of a part and returns when it is durable. An error means that the row is not
// in the record: where ctx ends before the writing has begun, it is not begun; once begun, Insert
// waits for its end.
func (s *Store) Insert(ctx context.Context, r part.Record) (id int64, err error) {
	err = s.writer.wait(ctx, "row of a part", func(tx *ledger) (err error) {
		id, err = insertRecord(tx, r)
		return err
	})
	if err != nil {
		return 0, explain(s.config.Path, fmt.Errorf("write to the record %s: %w", s.config.Path, err))
	}
	return id, nil
}

// Deliver adds what became of the result. It never waits; a disk that refuses is tried again.
func (s *Store) Deliver(id int64, d part.Delivery) {
	at := time.Now()
	s.writer.put("delivery", func(tx *ledger) error { return insertDelivery(tx, id, at, d) })
}

// Late adds what was found after the deadline. It never waits; a disk that refuses is tried again.
func (s *Store) Late(id int64, f part.Finding) {
	at := time.Now()
	s.writer.put("late finding", func(tx *ledger) error { return insertLate(tx, id, at, f) })
}

// Event adds a line to the station's log book. It never waits; a disk that refuses is tried again.
func (s *Store) Event(kind, who, detail string) {
	at := time.Now()
	s.writer.put("event", func(tx *ledger) error {
		return insertEvent(tx, at, kind, who, detail)
	})
}

// KeepPicture keeps the frame of a row if the config asks for it. It never waits: where too many
// pictures are being written, this one is dropped and counted.
func (s *Store) KeepPicture(id int64, frame part.Frame, verdict part.Verdict) {
	s.pictures.put(id, frame, verdict)
}

// LosePicture counts and notes the picture of a row that could not be handed over to be kept.
func (s *Store) LosePicture(id int64, verdict part.Verdict, why error) {
	s.pictures.lose(id, verdict, why)
}

// Close writes everything that waits, then closes the record. It returns an error where something
// could not be written. It does not wait for a folder of pictures that does not answer: the rows matter more.
func (s *Store) Close() error {
	s.ending()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.beside.Wait()
	}()
	select {
	case <-ended:
	case <-time.After(hangLimit):
		s.log.Warn("retention has not ended: the folder of pictures does not answer; the record is closed without waiting for it", "folder", s.config.Pictures)
	}
	lost := s.pictures.close()
	err := s.writer.close()
	if err == nil {
		_, err = s.db.Exec(`DELETE FROM meta WHERE key = 'in_use'`)
	}
	if err == nil {
		_, err = s.db.Exec(`PRAGMA optimize`)
	}
	if err != nil {
		err = explain(s.config.Path, fmt.Errorf("close the record %s: %w", s.config.Path, err))
	}
	return errors.Join(err, lost, s.release())
}

// closeRecord closes what openRecord has opened, also where it did not get to its end.
func (s *Store) closeRecord() (err error) {
	if s.Reader != nil {
		err = s.Reader.Close()
	}
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	return err
}

func (s *Store) release() error {
	err := s.closeRecord()
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}
