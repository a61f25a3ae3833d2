package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"linectl/internal/hint"
)

// commit runs one transaction that may add rows.
type commit func(ctx context.Context, name string, do func(*ledger) error) error

// Pen adds what people say and do to an existing record, also beside a running daemon: SQLite lets one
// in after the other, and each finds the end of the chain as it is then.
type Pen struct {
	*Reader
	config Config
	db     *sql.DB
}

// OpenPen opens an existing record to add to it.
func OpenPen(ctx context.Context, config Config) (*Pen, error) {
	reader, err := OpenReader(ctx, config) // refuses what is no record of this version
	if err != nil {
		return nil, err
	}
	db, err := openWriter(ctx, config.Path)
	if err != nil {
		return nil, explain(config.Path, fmt.Errorf("open the record %s: %w", config.Path, errors.Join(err, reader.Close())))
	}
	return &Pen{reader, config, db}, nil
}

// Close ends writing.
func (p *Pen) Close() error { return errors.Join(p.db.Close(), p.Reader.Close()) }

func (p *Pen) commit(ctx context.Context, name string, do func(*ledger) error) error {
	if err := inLedger(ctx, p.db, do); err != nil {
		return explain(p.config.Path, fmt.Errorf("write to the record %s: %s: %w", p.config.Path, name, err))
	}
	return nil
}

// commit queues for the daemon's own writer.
func (s *Store) commit(ctx context.Context, name string, do func(*ledger) error) error {
	if err := s.writer.wait(ctx, name, do); err != nil {
		return explain(s.config.Path, fmt.Errorf("write to the record %s: %s: %w", s.config.Path, name, err))
	}
	return nil
}

// Opinion is what a person says of a part.
type Opinion struct {
	Verdict  Review // good, bad or unsure
	Who, Why string
	At       time.Time // when it was written; what Review is given does not matter
}

// Review adds a person's opinion of the row with that id. It never changes the verdict; the newest
// opinion counts.
func (p *Pen) Review(ctx context.Context, id int64, o Opinion) error {
	return addReview(ctx, p.commit, id, o)
}

// Review adds a person's opinion of the row with that id, see Pen.Review.
func (s *Store) Review(ctx context.Context, id int64, o Opinion) error {
	return addReview(ctx, s.commit, id, o)
}

func addReview(ctx context.Context, commit commit, id int64, o Opinion) error {
	switch o.Verdict {
	case ReviewGood, ReviewBad, ReviewUnsure:
	default:
		return hint.New(hint.Usage, fmt.Errorf("a review says %q", o.Verdict), "choose good, bad or unsure")
	}
	if o.Who == "" {
		return hint.New(hint.Usage, errors.New("a review without a name"), "say who reviews")
	}
	at := time.Now()
	return commit(ctx, "review", func(tx *ledger) error {
		var there bool
		if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM inspection WHERE id = ?)`, id).Scan(&there); err != nil {
			return err
		}
		if !there {
			return hint.New(hint.NoMatch, fmt.Errorf("there is no record %d", id), "'linectl query' lists what there is")
		}
		_, err := tx.add(reviews, at.UnixMicro(), id, string(o.Verdict), fit(o.Who), fit(o.Why))
		return err
	})
}

// Opinions are what people said of a row, oldest first.
func (r *Reader) Opinions(ctx context.Context, id int64) (opinions []Opinion, err error) {
	rows, err := r.db.QueryContext(ctx, `SELECT at, verdict, who, why FROM review WHERE inspection_id = ? ORDER BY id`, id)
	if err != nil {
		return nil, r.explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		var o Opinion
		var at int64
		if err := rows.Scan(&at, &o.Verdict, &o.Who, &o.Why); err != nil {
			return nil, err
		}
		o.At = instant(at)
		opinions = append(opinions, o)
	}
	return opinions, rows.Err()
}

// UserName is who runs this process, for the column "who" of the record.
func UserName() string {
	for _, name := range []string{"SUDO_USER", "USER", "LOGNAME"} {
		if who := os.Getenv(name); who != "" {
			return who
		}
	}
	return fmt.Sprint("uid ", os.Getuid())
}
