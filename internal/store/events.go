package store

import (
	"context"
	"fmt"
	"time"
)

// Event is an entry of the station's log book.
type Event struct {
	ID        int64
	At        time.Time
	Kind, Who string
	Detail    string
}

// Events are the entries from since on and before until, where these are set; the newest first, limit at most, or
// all with 0.
func (r *Reader) Events(ctx context.Context, since, until time.Time, limit int) ([]Event, error) {
	where, args := "WHERE 1", []any{}
	if !since.IsZero() {
		where, args = where+" AND at >= ?", append(args, since.UnixMicro())
	}
	if !until.IsZero() {
		where, args = where+" AND at < ?", append(args, until.UnixMicro())
	}
	if limit == 0 {
		limit = -1
	}
	rows, err := r.db.QueryContext(ctx, `SELECT id, at, kind, who, detail FROM event `+where+` ORDER BY id DESC LIMIT ?`, append(args, limit)...)
	if err != nil {
		return nil, fmt.Errorf("read the events: %w", r.explain(err))
	}
	defer rows.Close()
	var events []Event
	for rows.Next() {
		var e Event
		var at int64
		if err := rows.Scan(&e.ID, &at, &e.Kind, &e.Who, &e.Detail); err != nil {
			return nil, err
		}
		e.At = instant(at)
		events = append(events, e)
	}
	return events, r.explain(rows.Err())
}
