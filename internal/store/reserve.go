package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"linectl/internal/part"
)

// reserved is the key, in meta, of how far a station's own counter may have been given out. It is no evidence: what
// became of the numbers is in the rows.
const reserved = "reserved "

// Reserve keeps that numbers up to last may have been given out, and returns when that is durable. It is for stations
// that count by themselves: a number that somebody has heard of must not be given to another part, even where a crash
// came before its row.
func (s *Store) Reserve(ctx context.Context, station string, last part.Sequence) error {
	return s.commit(ctx, "numbers of parts", func(tx *ledger) error {
		_, err := tx.Exec(`INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
			reserved+fit(station), fmt.Sprintf("%d/%d", last.Value, last.Bits))
		return err
	})
}

// Reserved is how far numbers may have been given out; unknown where the station never counted by itself.
func (s *Store) Reserved(ctx context.Context, station string) (last part.Sequence, err error) {
	var text string
	err = s.db.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = ?`, reserved+fit(station)).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return part.Sequence{}, nil
	}
	if err != nil {
		return part.Sequence{}, err
	}
	value, bits, _ := strings.Cut(text, "/")
	number, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return part.Sequence{}, err
	}
	last.Value = uint32(number)
	last.Bits, err = strconv.Atoi(bits)
	return last, err
}
