package store

import (
	"context"
	"errors"
	"time"

	"linectl/internal/hint"
)

// Hold keeps the pictures of a lot from being removed, or with held false no longer.
func (p *Pen) Hold(ctx context.Context, lot string, held bool, who, why string) error {
	if lot == "" || who == "" {
		return hint.New(hint.Usage, errors.New("a hold needs a lot and a name"), "say which lot, and who holds it")
	}
	at := time.Now()
	return p.commit(ctx, "hold", func(tx *ledger) error {
		_, err := tx.add(holds, at.UnixMicro(), fit(lot), flag(held), fit(who), fit(why))
		return err
	})
}

// Held is a lot whose pictures are not removed, since when, and by whom.
type Held struct {
	Lot, Who, Why string
	At            time.Time
}

// Holds are the lots that are held now, or of one lot whether it is.
func (r *Reader) Holds(ctx context.Context, lot string) (held []Held, err error) {
	rows, err := r.db.QueryContext(ctx, `SELECT lot, at, who, why FROM hold h
		WHERE ?1 IN ('', lot) AND held = 1 AND id = (SELECT max(id) FROM hold WHERE lot = h.lot) ORDER BY lot`, fit(lot))
	if err != nil {
		return nil, r.explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		var h Held
		var at int64
		if err := rows.Scan(&h.Lot, &at, &h.Who, &h.Why); err != nil {
			return nil, err
		}
		h.At = instant(at)
		held = append(held, h)
	}
	return held, r.explain(rows.Err())
}

// LotSize is how many parts of a lot are in the record, and how many of their pictures are kept.
func (r *Reader) LotSize(ctx context.Context, lot string) (parts, pictures int64, err error) {
	err = r.db.QueryRowContext(ctx, `SELECT count(DISTINCT i.id), count(f.id) FROM inspection i
		LEFT JOIN frame f ON f.inspection_id = i.id AND f.id NOT IN (SELECT frame_id FROM removal) WHERE i.lot = ?`, fit(lot)).Scan(&parts, &pictures)
	return parts, pictures, r.explain(err)
}
