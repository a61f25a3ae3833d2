package store

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"strings"
	"time"

	"linectl/internal/part"
)

// Filter says which parts to find. What is not set does not matter.
type Filter struct {
	Since, Until       time.Time     // when the trigger was seen: from Since on, before Until
	PartID             string        // exactly
	Part, Lot          string        // exactly, or a pattern with * ? [ ]
	Verdict            *part.Verdict // as told, see Part
	Decided            *part.Verdict
	Reason             *part.Reason
	Recipe             string
	Version            int    // of the recipe
	Hash               string // of the recipe's version: its number alone may be used again where recipes were lost
	Zone               string
	Review             Review
	Sequence           *uint32
	MinScore, MaxScore *float64
	Before             int64 // only rows with a smaller id: goes on where an earlier answer ended
	Limit              int   // 0: all

	low, high int64  // between which ids they are, as narrow has found out
	by        string // the column by whose index they are fetched one by one, if that is fastest
	due       bool   // only candidates for a review are looked at
}

// Review says which parts to find by what a person said of them.
type Review string

// What can be asked of reviews.
const (
	ReviewAny    Review = ""
	ReviewGood   Review = "good"
	ReviewBad    Review = "bad"
	ReviewUnsure Review = "unsure"
	ReviewNone   Review = "none" // nobody has looked
	ReviewDue    Review = "due"  // nobody has looked, and somebody should
)

// Part is what a list shows of a part.
type Part struct {
	ID            int64
	At            time.Time
	Station       string
	Sequence      part.Sequence
	Missed        uint32
	PartID, Lot   string
	Mode          string
	Verdict       part.Verdict // what the PLC was told, where it was told; else what was decided
	Reason        part.Reason
	Decided       part.Verdict
	DecidedReason part.Reason
	Score         float64 // NaN where nothing was scored
	Threshold     float64
	Late          bool // the score came after the deadline
	Recipe        string
	Version       int
	Outcome       part.Outcome  // "" where nothing is known of a delivery
	Total         time.Duration // trigger to PLC; 0 where not known
	Recovered     bool
	Zone          string
	Review        Review // what a person said of it; ReviewAny where nobody did
}

// page is how many rows one query fetches. An open result set stops the checkpoints of the writer, so
// none is left open while the caller works with what it got.
const page = 500

// Find returns the parts that match, newest first. It ends with the first error.
func (r *Reader) Find(ctx context.Context, f Filter) iter.Seq2[Part, error] {
	return func(yield func(Part, error) bool) {
		f, ok, err := r.narrow(ctx, f, usual)
		if err != nil {
			yield(Part{}, fmt.Errorf("read the record: %w", r.explain(err)))
		}
		if err != nil || !ok {
			return
		}
		for left := f.Limit; ; {
			want := page
			if f.Limit > 0 {
				want = min(page, left)
			}
			parts, err := r.page(ctx, f, want)
			if err != nil {
				yield(Part{}, fmt.Errorf("read the record: %w", r.explain(err)))
				return
			}
			for _, p := range parts {
				if !yield(p, nil) {
					return
				}
			}
			left -= len(parts)
			if len(parts) < want || f.Limit > 0 && left == 0 {
				return
			}
			f.Before = parts[len(parts)-1].ID
		}
	}
}

func (r *Reader) page(ctx context.Context, f Filter, limit int) ([]Part, error) {
	where, args := f.where()
	from, id := f.from()
	return r.parts(ctx, from+where+` ORDER BY `+id+` DESC LIMIT ?`, append(args, limit)...)
}

// byID returns the parts with those ids, 500 at most.
func (r *Reader) byID(ctx context.Context, ids []int64) (map[int64]Part, error) {
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	parts, err := r.parts(ctx, `part WHERE id IN (`+strings.TrimSuffix(strings.Repeat("?, ", len(ids)), ", ")+`)`, args...)
	found := map[int64]Part{}
	for _, p := range parts {
		found[p.ID] = p
	}
	return found, err
}

func (r *Reader) parts(ctx context.Context, from string, args ...any) ([]Part, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT id, at, station, sequence, sequence_bits, missed, part_id, lot, mode,
			verdict, reason, decided, decided_reason, coalesce(score, late_score), coalesce(threshold, late_threshold),
			late_score IS NOT NULL, coalesce(recipe, ''), coalesce(version, 0), coalesce(outcome, ''), coalesce(total_us, 0), recovered, zone, coalesce(reviewed, '')
		FROM `+from, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var parts []Part
	for rows.Next() {
		p, err := scanPart(rows)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	return parts, rows.Err()
}

func scanPart(rows *sql.Rows) (Part, error) {
	var p Part
	var at, total int64
	var sequence sql.NullInt64
	var bits int
	var verdict, reason, decided, decidedReason, outcome string
	var score, threshold sql.NullFloat64
	err := rows.Scan(&p.ID, &at, &p.Station, &sequence, &bits, &p.Missed, &p.PartID, &p.Lot, &p.Mode,
		&verdict, &reason, &decided, &decidedReason, &score, &threshold,
		&p.Late, &p.Recipe, &p.Version, &outcome, &total, &p.Recovered, &p.Zone, &p.Review)
	p.At, p.Sequence = instant(at), sequenceFrom(sequence, bits)
	p.Verdict, p.Reason = verdictFrom(verdict), reasonFrom(reason)
	p.Decided, p.DecidedReason = verdictFrom(decided), reasonFrom(decidedReason)
	p.Score, p.Threshold = finite(score), finite(threshold)
	p.Outcome, p.Total = part.Outcome(outcome), time.Duration(total)*time.Microsecond
	return p, err
}

// rare tells that only rejects are wanted, which have a table of their own.
func (f Filter) rare() bool {
	if f.PartID != "" || f.Part != "" && !pattern(f.Part) || f.Sequence != nil {
		return false // which leaves less than all rejects
	}
	return f.Verdict != nil && *f.Verdict == part.Reject || f.Reason != nil && *f.Reason != part.None
}

const rejects = "(SELECT inspection_id AS rare_id, lot AS rare_lot, reason AS rare_reason FROM reject)"

// from is where the parts are found, and the column of their id.
func (f Filter) from() (from, id string) {
	if f.rare() {
		return rejects + " CROSS JOIN part ON id = rare_id", "rare_id"
	}
	return "part", "id"
}

// ids is a query for the ids of the parts that match, the newest first; its last argument is how many.
func (f Filter) ids() (query string, args []any) {
	from, id := f.from()
	if f.rare() && f.ofRejects() {
		from = rejects
	}
	where, args := f.where()
	return `SELECT ` + id + ` FROM ` + from + where + ` ORDER BY ` + id + ` DESC LIMIT ?`, args
}

// ofRejects tells that the table of rejects alone has what is asked for.
func (f Filter) ofRejects() bool {
	f = Filter{Since: f.Since, Until: f.Until, PartID: f.PartID, Part: f.Part, Verdict: f.Verdict, Decided: f.Decided, Recipe: f.Recipe, Version: f.Version, Hash: f.Hash,
		Zone: f.Zone, Review: f.Review, MinScore: f.MinScore, MaxScore: f.MaxScore}
	if f.Verdict != nil && *f.Verdict == part.Reject {
		f.Verdict = nil
	}
	return f == Filter{}
}

// where is the filter as SQL. A plus before a column keeps SQLite from its index.
func (f Filter) where() (clause string, args []any) {
	var terms []string
	add := func(term string, values ...any) {
		terms = append(terms, term)
		args = append(args, values...)
	}
	_, id := f.from()
	lot, reason := "lot", "reason"
	if f.rare() {
		lot, reason = "rare_lot", "rare_reason"
		if f.Lot != "" {
			reason = "+rare_reason" // the index of the lots does
		}
	}
	if !f.Since.IsZero() {
		add("+at >= ?", f.Since.UnixMicro())
	}
	if !f.Until.IsZero() {
		add("+at < ?", f.Until.UnixMicro())
	}
	if f.PartID != "" {
		add("part_id = ?", fit(f.PartID))
	}
	if f.Part != "" {
		add(textTerm("part_id", f.Part), fit(f.Part))
	}
	if f.Lot != "" {
		add(textTerm(lot, f.Lot), fit(f.Lot))
	}
	if f.Verdict != nil && !(f.rare() && *f.Verdict == part.Reject) {
		add("verdict = ?", f.Verdict.String())
	}
	if f.Decided != nil {
		add("decided = ?", f.Decided.String())
	}
	if f.Reason != nil {
		add(reason+" = ?", f.Reason.String())
	}
	if f.Recipe != "" {
		add("recipe = ?", fit(f.Recipe))
	}
	if f.Version != 0 {
		add("version = ?", f.Version)
	}
	if f.Hash != "" {
		add(`EXISTS (SELECT 1 FROM inspection i LEFT JOIN late l ON l.inspection_id = i.id
			JOIN recipe r ON r.id = coalesce(i.recipe_id, l.recipe_id) WHERE i.id = part.id AND r.hash = ?)`, fit(f.Hash))
	}
	if f.Zone != "" {
		add(textTerm("zone", f.Zone), fit(f.Zone))
	}
	switch f.Review {
	case ReviewAny:
	case ReviewNone:
		add("reviewed IS NULL")
	case ReviewDue:
		add("reviewed IS NULL AND (review = 1 OR decided_reason = 'anomaly')")
	default:
		add("reviewed = ? AND "+id+" IN (SELECT inspection_id FROM review)", string(f.Review))
	}
	if f.Sequence != nil {
		add("sequence = ?", int64(*f.Sequence))
	}
	if f.MinScore != nil {
		add("coalesce(score, late_score) >= ?", *f.MinScore)
	}
	if f.MaxScore != nil {
		add("coalesce(score, late_score) <= ?", *f.MaxScore)
	}
	if f.Before > 0 {
		add(id+" < ?", f.Before)
	}
	narrowed, values := f.narrowed(id)
	if terms, args = append(terms, narrowed...), append(args, values...); len(terms) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(terms, " AND "), args
}

// pattern tells that a text may stand for many. A bracket that is not closed is a bracket.
func pattern(text string) bool {
	_, after, bracket := strings.Cut(text, "[")
	return strings.ContainsAny(text, "*?") || bracket && strings.Contains(after, "]")
}

func textTerm(column, text string) string {
	if pattern(text) {
		return "+" + column + " GLOB ?"
	}
	return column + " = ?"
}
