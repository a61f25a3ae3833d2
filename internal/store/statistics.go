package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Slot counts the parts of a quarter of an hour that are alike in recipe, lot and reason.
type Slot struct {
	At                    time.Time
	Station, Lot          string
	Recipe                string
	Version               int
	Reason                string // as told; "" for a pass
	Decided               string // the reason as decided; in shadow the PLC is told another
	Parts                 int64
	Scored                int64 // parts with a score
	Score, Score2         float64
	Measured              int64 // parts with picture quality
	Brightness, Sharpness float64
}

// SlotFilter says which slots to count. What is not set does not matter. Since and Until are taken to
// the quarter of an hour in which they lie.
type SlotFilter struct {
	Since, Until time.Time
	Station, Lot string // exactly, or a pattern with * ? [ ]
	Recipe       string
	Version      int
}

// Slots returns the counts in the order of time. A year of one line is some 100,000 slots.
func (r *Reader) Slots(ctx context.Context, f SlotFilter) ([]Slot, error) {
	clause, args := f.where()
	rows, err := r.db.QueryContext(ctx, `SELECT s.at, s.station, s.lot, coalesce(r.name, ''), coalesce(r.version, 0), s.reason, s.decided,
			s.parts, s.scored, s.score, s.score2, s.measured, s.brightness, s.sharpness
		FROM slot s LEFT JOIN recipe r ON r.id = s.recipe_id WHERE s.parts > 0`+clause+` ORDER BY s.at`, args...)
	if err != nil {
		return nil, fmt.Errorf("count the record: %w", r.explain(err))
	}
	defer rows.Close()
	var slots []Slot
	for rows.Next() {
		var s Slot
		var at int64
		if err := rows.Scan(&at, &s.Station, &s.Lot, &s.Recipe, &s.Version, &s.Reason, &s.Decided,
			&s.Parts, &s.Scored, &s.Score, &s.Score2, &s.Measured, &s.Brightness, &s.Sharpness); err != nil {
			return nil, fmt.Errorf("count the record: %w", r.explain(err))
		}
		s.At = instant(at)
		slots = append(slots, s)
	}
	return slots, rows.Err()
}

func (f SlotFilter) where() (clause string, args []any) {
	add := func(term string, value any) {
		clause += " AND " + term
		args = append(args, value)
	}
	if !f.Since.IsZero() {
		add("s.at >= ?", f.Since.UTC().Truncate(slotLength).UnixMicro())
	}
	if !f.Until.IsZero() {
		add("s.at < ?", f.Until.UnixMicro())
	}
	if f.Station != "" {
		add(textTerm("s.station", f.Station), fit(f.Station))
	}
	if f.Lot != "" {
		add(textTerm("s.lot", f.Lot), fit(f.Lot))
	}
	if f.Recipe != "" {
		add("r.name = ?", f.Recipe)
	}
	if f.Version != 0 {
		add("r.version = ?", f.Version)
	}
	return clause, args
}

// Tally is the sum of slots that belong together.
type Tally struct {
	Key                   string
	Parts, Rejects        int64
	Scored                int64
	score, score2         float64
	Measured              int64
	brightness, sharpness float64
}

// Add counts a slot. With decided a reject is what linectl found, else what the PLC was told.
func (t *Tally) Add(s Slot, decided bool) {
	t.Parts += s.Parts
	if decided && s.Decided != "" || !decided && s.Reason != "" {
		t.Rejects += s.Parts
	}
	t.Scored += s.Scored
	t.score += s.Score
	t.score2 += s.Score2
	t.Measured += s.Measured
	t.brightness += s.Brightness
	t.sharpness += s.Sharpness
}

// Score is the mean score and its standard deviation, NaN where nothing was scored.
func (t *Tally) Score() (mean, deviation float64) {
	n := float64(t.Scored)
	mean = t.score / n
	return mean, math.Sqrt(max(0, t.score2/n-mean*mean))
}

// Brightness is the mean brightness, NaN where no picture was measured.
func (t *Tally) Brightness() float64 { return t.brightness / float64(t.Measured) }

// Sharpness is the mean sharpness, NaN where no picture was measured.
func (t *Tally) Sharpness() float64 { return t.sharpness / float64(t.Measured) }

// Group sums slots by key, in the order in which the keys are met first.
func Group(slots []Slot, decided bool, key func(Slot) string) []*Tally {
	var tallies []*Tally
	byKey := map[string]*Tally{}
	for _, s := range slots {
		k := key(s)
		t := byKey[k]
		if t == nil {
			t = &Tally{Key: k}
			byKey[k] = t
			tallies = append(tallies, t)
		}
		t.Add(s, decided)
	}
	return tallies
}

// Wilson is the 95 % score interval of a rate of k in n (Wilson 1927).
func Wilson(k, n int64) (low, high float64) {
	if n <= 0 {
		return 0, 1
	}
	const z = 1.959963984540054
	p, m := float64(k)/float64(n), float64(n)
	middle := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	low, high = max(0, middle-half), min(1, middle+half)
	if k == 0 {
		low = 0
	}
	if k == n {
		high = 1
	}
	return low, high
}

// Chart is a control chart: of each value of a series the moving average with its limits, NaN where there are none, and
// whether it has left them.
type Chart struct {
	Average, Low, High []float64
	Alarm              []bool
}

// EWMA is the exponentially weighted moving average of a series, and where it leaves its control
// limits (Montgomery, Introduction to Statistical Quality Control, chapter 9.2, with λ = 0.2 and
// L = 3: with a known mean about 560 values without a shift until a false alarm, 10 until a shift by one
// deviation is noticed; with a short baseline more of both). Mean and deviation come from the first baseline values. NaN values are passed over.
func EWMA(series []float64, baseline int) Chart {
	const lambda, width = 0.2, 3.0
	c := Chart{make([]float64, len(series)), make([]float64, len(series)), make([]float64, len(series)), make([]bool, len(series))}
	mean, deviation, ok := meanOf(series[:min(baseline, len(series))])
	z, n := mean, 0.0
	for i, x := range series {
		c.Average[i], c.Low[i], c.High[i] = math.NaN(), math.NaN(), math.NaN()
		if !ok || math.IsNaN(x) {
			continue
		}
		n++
		z = lambda*x + (1-lambda)*z
		limit := width * deviation * math.Sqrt(lambda/(2-lambda)*(1-math.Pow(1-lambda, 2*n)))
		c.Average[i], c.Low[i], c.High[i] = z, mean-limit, mean+limit
		c.Alarm[i] = i >= baseline && math.Abs(z-mean) > limit
	}
	return c
}

// meanOf is false where fewer than 5 values are there: no limit can be drawn from them.
func meanOf(series []float64) (mean, deviation float64, ok bool) {
	var n float64
	for _, x := range series {
		if !math.IsNaN(x) {
			n++
			mean += x
		}
	}
	mean /= n
	for _, x := range series {
		if !math.IsNaN(x) {
			deviation += (x - mean) * (x - mean)
		}
	}
	return mean, math.Sqrt(deviation / (n - 1)), n >= 5
}

// Change is where the mean of a series changes most.
type Change struct {
	Index         int     // the first value after the change
	Before, After float64 // means
	Strength      float64 // the shift in standard errors
}

// FindChange finds the one shift of the mean that explains a weighted series best: the largest
// likelihood ratio over all places (Hinkley 1970). The noise comes from the differences of
// neighbours, so that the shift itself does not count as noise. ok is false for less than 10 values.
func FindChange(values, weights []float64) (c Change, ok bool) {
	if len(values) < 10 {
		return Change{}, false
	}
	var total, sum float64
	var steps []float64
	for i, x := range values {
		total += weights[i]
		sum += weights[i] * x
		if i > 0 {
			// Standardised by the weights: the difference of two means of n and m parts.
			steps = append(steps, math.Abs(x-values[i-1])/math.Sqrt(1/weights[i]+1/weights[i-1]))
		}
	}
	slices.Sort(steps)
	noise := max(steps[len(steps)/2]/0.6745, 1e-12) // median absolute deviation of a normal variable
	var n, s float64
	for i := range len(values) - 1 {
		n += weights[i]
		s += weights[i] * values[i]
		before, after := s/n, (sum-s)/(total-n)
		if strength := math.Abs(after-before) / (noise * math.Sqrt(1/n+1/(total-n))); strength > c.Strength {
			c = Change{i + 1, before, after, strength}
		}
	}
	return c, true
}

// Rates are what reviews say of a recipe version.
type Rates struct {
	Recipe                        string
	Version                       int
	RejectsReviewed, FalseRejects int64 // rejects that a person looked at, and found good
	PassesReviewed, Escapes       int64 // passes that a person looked at, and found bad
}

// ReviewRates counts the parts that a person has judged good or bad, by what linectl had decided.
func (r *Reader) ReviewRates(ctx context.Context, f SlotFilter) ([]Rates, error) {
	var terms []string
	var args []any
	if !f.Since.IsZero() {
		terms, args = append(terms, "p.at >= ?"), append(args, f.Since.UnixMicro())
	}
	if !f.Until.IsZero() {
		terms, args = append(terms, "p.at < ?"), append(args, f.Until.UnixMicro())
	}
	if f.Lot != "" {
		terms, args = append(terms, textTerm("p.lot", f.Lot)), append(args, fit(f.Lot))
	}
	if f.Recipe != "" {
		terms, args = append(terms, "p.recipe = ?"), append(args, f.Recipe)
	}
	if f.Version != 0 {
		terms, args = append(terms, "p.version = ?"), append(args, f.Version)
	}
	terms = append(terms, "p.reviewed IN ('good', 'bad')", "p.recipe IS NOT NULL")
	rows, err := r.db.QueryContext(ctx, `SELECT p.recipe, p.version, sum(p.decided = 'reject'), sum(p.decided = 'reject' AND p.reviewed = 'good'),
			sum(p.decided = 'pass'), sum(p.decided = 'pass' AND p.reviewed = 'bad')
		FROM (SELECT DISTINCT inspection_id AS id FROM review) d JOIN part p ON p.id = d.id
		WHERE `+strings.Join(terms, " AND ")+` GROUP BY p.recipe, p.version ORDER BY p.recipe, p.version`, args...)
	if err != nil {
		return nil, fmt.Errorf("count the reviews: %w", r.explain(err))
	}
	defer rows.Close()
	var rates []Rates
	for rows.Next() {
		var x Rates
		if err := rows.Scan(&x.Recipe, &x.Version, &x.RejectsReviewed, &x.FalseRejects, &x.PassesReviewed, &x.Escapes); err != nil {
			return nil, err
		}
		rates = append(rates, x)
	}
	return rates, rows.Err()
}

// First is the first part of those that the filter counts; 0 if there is none.
func (r *Reader) First(ctx context.Context, f SlotFilter) (id int64, partID string, err error) {
	clause, args := f.where()
	// By the time: from the quarter of an hour that the counts name it is not far.
	err = r.db.QueryRowContext(ctx, `SELECT s.id, s.part_id FROM inspection s INDEXED BY inspection_at LEFT JOIN recipe r ON r.id = s.recipe_id
		WHERE true`+clause+` ORDER BY s.at, s.id LIMIT 1`, args...).Scan(&id, &partID)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, "", nil
	}
	return id, partID, r.explain(err)
}
