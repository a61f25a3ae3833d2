package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"
)

// count works out anew what is worked out of the rows, and gives the record its identity.
func (s *salvager) count(ctx context.Context) error {
	if err := recountAll(ctx, s.db); err != nil {
		return err
	}
	s.UUID = s.meta["uuid"]
	meta := map[string]string{
		"uuid":       cmp.Or(s.UUID, newUUID()),
		"created_at": cmp.Or(s.meta["created_at"], time.Now().UTC().Format(time.RFC3339)),
		"created_by": cmp.Or(s.meta["created_by"], "linectl salvage"),
		"salvaged":   time.Now().UTC().Format(time.RFC3339),
	}
	for key, value := range s.meta {
		if strings.HasPrefix(key, reserved) {
			meta[key] = value
		}
	}
	for key, value := range meta {
		if _, err := s.db.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES (?, ?)`, key, value); err != nil {
			return err
		}
	}
	return nil
}

// recountAll works out slot and reject anew, in a record that has no name yet: it takes many transactions.
func recountAll(ctx context.Context, db *sql.DB) error {
	if _, err := db.ExecContext(ctx, `DELETE FROM slot; DELETE FROM reject`); err != nil {
		return err
	}
	var newest int64
	if err := db.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) FROM inspection`).Scan(&newest); err != nil {
		return err
	}
	for from := int64(1); from <= newest; from += 10_000 {
		if err := inLedger(ctx, db, func(tx *ledger) error { return recountSpan(tx, from, from+9_999) }); err != nil {
			return err
		}
	}
	return nil
}

func recountSpan(tx *ledger, from, to int64) error {
	rows, err := tx.Query(`SELECT id FROM inspection WHERE id BETWEEN ? AND ?`, from, to)
	if err != nil {
		return err
	}
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return errors.Join(err, rows.Close())
		}
		ids = append(ids, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, id := range ids {
		o, err := outcomeOf(tx, id)
		if err != nil {
			return err
		}
		if err := errors.Join(o.count(tx, 1), o.list(tx, id)); err != nil {
			return err
		}
	}
	return nil
}

// judge says what is lost, and what the chain proves of the rest.
func (s *salvager) judge(ctx context.Context, path string) error {
	for _, shape := range s.shapes {
		saved, err := s.saved(ctx, shape)
		if err != nil {
			return err
		}
		s.Tables = append(s.Tables, saved)
	}
	reader := &Reader{path: path, db: openReadOnly(path)}
	defer reader.Close()
	v, err := reader.Verify(ctx, VerifyOptions{Alone: true}, func(string) {})
	s.Proved, s.Problems = v.Proved, v.Problems
	return err
}

// saved counts a table. Ids have no gaps when they are written, so that each that is missing is a row that is lost.
func (s *salvager) saved(ctx context.Context, shape shape) (saved Saved, err error) {
	saved = Saved{Table: shape.table, Gaps: []Gap{}}
	id, wanted := "id", s.newest[shape.table]
	switch shape.table {
	case "link":
		id = "n"
	case "heatmap":
		id = "inspection_id"
	}
	var highest int64
	if err := s.db.QueryRowContext(ctx, `SELECT count(*), coalesce(max(`+id+`), 0) FROM `+shape.table).Scan(&saved.Rows, &highest); err != nil {
		return saved, err
	}
	if shape.table == "heatmap" {
		return s.savedHeatmaps(ctx, saved)
	}
	if wanted == 0 { // else SQLite's own note is better than a row whose id may be damaged
		wanted = highest
		for _, t := range chained {
			if t.name == shape.table {
				if err := s.db.QueryRowContext(ctx, `SELECT max(coalesce(max(row), 0), ?1) FROM link WHERE kind = ?2 AND row <= ?3`, wanted, t.kind, s.pages.most).Scan(&wanted); err != nil {
					return saved, err
				}
			}
		}
	}
	if _, err := s.db.ExecContext(ctx, `DELETE FROM sqlite_sequence WHERE name = ?1`, shape.table); err != nil {
		return saved, err
	}
	// So that no new row takes the id of one that is lost, and Verify says what is cut off the end.
	if _, err := s.db.ExecContext(ctx, `INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)`, shape.table, wanted); err != nil {
		return saved, err
	}
	rows, err := s.db.QueryContext(ctx, `SELECT before + 1, id - 1 FROM (SELECT `+id+` AS id, lag(`+id+`, 1, 0) OVER (ORDER BY `+id+`) AS before FROM `+shape.table+` WHERE `+id+` <= ?1) WHERE id > before + 1
		UNION ALL SELECT coalesce(max(`+id+`), 0) + 1, ?1 FROM `+shape.table+` WHERE `+id+` <= ?1 HAVING coalesce(max(`+id+`), 0) < ?1`, wanted)
	if err != nil {
		return saved, err
	}
	defer rows.Close()
	for rows.Next() {
		var g Gap
		if err := rows.Scan(&g.From, &g.To); err != nil {
			return saved, err
		}
		saved.Lost += g.To - g.From + 1
		saved.Gaps = append(saved.Gaps, g)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || shape.table != inspections.name {
		return saved, err
	}
	for i, g := range saved.Gaps {
		if saved.Gaps[i].After, err = s.seenAt(ctx, g.From-1); err != nil {
			return saved, err
		}
		if saved.Gaps[i].Before, err = s.seenAt(ctx, g.To+1); err != nil {
			return saved, err
		}
	}
	return saved, nil
}

func (s *salvager) seenAt(ctx context.Context, id int64) (*time.Time, error) {
	var at int64
	switch err := s.db.QueryRowContext(ctx, `SELECT at FROM inspection WHERE id = ?`, id).Scan(&at); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	}
	seen := instant(at)
	return &seen, nil
}

// savedHeatmaps counts those that a part is left of, which says that it had one.
func (s *salvager) savedHeatmaps(ctx context.Context, saved Saved) (Saved, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT i.id FROM inspection i LEFT JOIN late l ON l.inspection_id = i.id
		WHERE coalesce(i.map, l.map) IS NOT NULL AND NOT EXISTS (SELECT 1 FROM heatmap WHERE inspection_id = i.id) ORDER BY i.id`)
	if err != nil {
		return saved, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return saved, err
		}
		saved.Lost++
		if n := len(saved.Gaps); n > 0 && saved.Gaps[n-1].To == id-1 {
			saved.Gaps[n-1].To = id
		} else {
			saved.Gaps = append(saved.Gaps, Gap{From: id, To: id})
		}
	}
	slices.SortFunc(saved.Gaps, func(a, b Gap) int { return cmp.Compare(a.From, b.From) })
	return saved, rows.Err()
}
