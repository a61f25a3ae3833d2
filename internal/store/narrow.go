package store

import (
	"context"
	"database/sql"
	"math"
	"slices"
	"strings"
)

// narrowing says how far narrow goes.
type narrowing struct {
	few  int64 // so many rows are fetched one by one, in place of all between the oldest and the newest of them
	most int64 // so many entries of an index are read; it takes some 50 ms
}

var usual = narrowing{few: 20_000, most: 1_000_000}

// narrow finds out from the indexes which rows can match at all; there is none where ok is false. SQLite does not
// know how many rows a stretch of time or a pattern takes: it would look for twelve parts since this morning
// from the newest part down to the oldest of ten years.
func (r *Reader) narrow(ctx context.Context, f Filter, n narrowing) (narrow Filter, ok bool, err error) {
	f.low, f.high = 1, math.MaxInt64
	if !f.exact() {
		fewest := n.few + 1
		for _, by := range f.spread() {
			term, args := f.term(by)
			var count int64
			var low, high sql.NullInt64
			err := r.db.QueryRowContext(ctx, `SELECT count(*), min(id), max(id) FROM (SELECT id FROM inspection WHERE `+term+` LIMIT ?)`, append(args, n.most)...).Scan(&count, &low, &high)
			if err != nil {
				return f, false, err
			}
			switch {
			case count == 0:
				return f, false, nil
			case count < n.most:
				f.low, f.high = max(f.low, low.Int64), min(f.high, high.Int64)
			case by == "at" && !f.Until.IsZero(): // long ago, maybe, and everything since would be looked at first
				if err := r.db.QueryRowContext(ctx, `SELECT max(id) FROM inspection WHERE `+term, args...).Scan(&high); err != nil {
					return f, false, err
				}
				f.high = min(f.high, high.Int64)
			}
			if count < fewest {
				fewest, f.by = count, by
			}
		}
	}
	if f.Review == ReviewDue && !f.exact() && !f.rare() {
		var count int64
		var low, high sql.NullInt64
		if err := r.db.QueryRowContext(ctx, `SELECT count(*), min(id), max(id) FROM (`+candidates+` LIMIT ?)`, n.most).Scan(&count, &low, &high); err != nil || count == 0 {
			return f, false, err
		}
		if count < n.most { // not in shadow, where every part is told as a reject
			f.due, f.low, f.high = true, max(f.low, low.Int64), min(f.high, high.Int64)
		}
	}
	if f.Recipe != "" || f.Version != 0 {
		low, high, err := r.recipeSpan(ctx, f.Recipe, f.Version)
		if err != nil {
			return f, false, err
		}
		f.low, f.high = max(f.low, low), min(f.high, high)
	}
	return f, f.low <= f.high, nil
}

// candidates are the parts that can be due for a review: an anomaly is told as a reject, for whatever reason.
const candidates = `SELECT id FROM inspection WHERE review = 1 UNION ALL SELECT inspection_id FROM reject`

// recipeSpan is from the oldest part of a recipe to the newest; where there is none low is above high.
func (r *Reader) recipeSpan(ctx context.Context, name string, version int) (low, high int64, err error) {
	const named = `(SELECT id FROM recipe WHERE ?1 IN ('', name) AND ?2 IN (0, version))`
	err = r.db.QueryRowContext(ctx, `SELECT coalesce(min(low), 1), coalesce(max(high), 0) FROM (
		SELECT (SELECT min(id) FROM inspection WHERE recipe_id = r.id) AS low, (SELECT max(id) FROM inspection WHERE recipe_id = r.id) AS high FROM `+named+` r
		UNION ALL SELECT min(inspection_id), max(inspection_id) FROM late WHERE recipe_id IN `+named+`)`, fit(name), version).Scan(&low, &high)
	return low, high, err
}

// exact tells that one value of an index is asked for: the rows that have it are read in the order of their ids.
func (f Filter) exact() bool {
	return f.PartID != "" || f.Part != "" && !pattern(f.Part) || f.Lot != "" && !pattern(f.Lot) || f.Sequence != nil
}

// spread are the columns with an index of which many values are asked for.
func (f Filter) spread() (columns []string) {
	if pattern(f.Part) {
		columns = append(columns, "part_id")
	}
	if pattern(f.Lot) {
		columns = append(columns, "lot")
	}
	if !f.Since.IsZero() || !f.Until.IsZero() {
		columns = append(columns, "at")
	}
	return columns
}

// term is what is asked of a column of inspection.
func (f Filter) term(column string) (term string, args []any) {
	switch column {
	case "part_id":
		return "part_id GLOB ?", []any{fit(f.Part)}
	case "lot":
		return "lot GLOB ?", []any{fit(f.Lot)}
	}
	var terms []string
	if !f.Since.IsZero() {
		terms, args = append(terms, "at >= ?"), append(args, f.Since.UnixMicro())
	}
	if !f.Until.IsZero() {
		terms, args = append(terms, "at < ?"), append(args, f.Until.UnixMicro())
	}
	return strings.Join(terms, " AND "), args
}

// narrowed is what narrow has found out, as conditions on the ids.
func (f Filter) narrowed(id string) (terms []string, args []any) {
	if f.low > 1 {
		terms, args = append(terms, id+" >= ?"), append(args, f.low)
	}
	if f.high > 0 && f.high < math.MaxInt64 {
		terms, args = append(terms, id+" <= ?"), append(args, f.high)
	}
	if f.due {
		terms = append(terms, id+" IN ("+candidates+")")
	}
	if f.by != "" {
		term, values := f.term(f.by)
		if f.Before > 0 {
			term, values = term+" AND id < ?", append(values, f.Before)
		}
		terms, args = append(terms, id+" IN (SELECT id FROM inspection WHERE "+term+")"), slices.Concat(args, values)
	}
	return terms, args
}
