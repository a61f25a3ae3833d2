package store

import (
	"context"
	"slices"
	"time"
)

// standstill is the longest that a plant is taken to stand: what lies further ahead is a clock that jumped.
const standstill = 31 * 24 * time.Hour

// productionDays are the links with which the days began on which the line ran, oldest first, but for the first.
func (r *Reader) productionDays(ctx context.Context) ([]int64, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT at, n FROM seal ORDER BY id`)
	if err != nil {
		return nil, r.explain(err)
	}
	defer rows.Close()
	var all []sealing
	for rows.Next() {
		var at int64
		var s sealing
		if err := rows.Scan(&at, &s.n); err != nil {
			return nil, err
		}
		s.at = instant(at)
		all = append(all, s)
	}
	return believed(all), r.explain(rows.Err())
}

// sealing is when, by the wall clock, the chain had come how far.
type sealing struct {
	at time.Time
	n  int64
}

// believed are the dates on which the clock was right, by the newest seal of each: it had shown a date not long
// before that one, and has not gone back to one since. So a clock that jumps ahead and back, or begins in 1970 with
// every start until it has found the time, makes nothing older.
func believed(seals []sealing) (days []int64) {
	seen := map[string]bool{}
	for i, s := range slices.Backward(seals) {
		day := dayOf(s.at)
		if seen[day] {
			continue
		}
		seen[day] = true
		shortlyBefore := func(other sealing) bool { // the date last: to write it takes the longest, and each seal is compared with each
			return other.at.Before(s.at) && s.at.Sub(other.at) <= standstill && dayOf(other.at) != day
		}
		if slices.ContainsFunc(seals[:i], shortlyBefore) && !slices.ContainsFunc(seals[i:], shortlyBefore) {
			days = append(days, s.n)
		}
	}
	slices.Reverse(days)
	return days
}
