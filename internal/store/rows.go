package store

import (
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"linectl/internal/part"
)

// number is v for a REAL column: NULL where it is not finite. SQLite knows no negative zero.
func number(v float64) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	if v == 0 {
		return 0.0
	}
	return v
}

func nullable(v any) (n sql.NullFloat64) {
	n.Float64, n.Valid = v.(float64)
	return n
}

// insertRecord writes the row of a part with its heatmap.
func insertRecord(tx *ledger, r part.Record) (id int64, err error) {
	var sequence any
	if r.Trigger.Sequence.Known() {
		sequence = int64(r.Trigger.Sequence.Value)
	}
	var found findingColumns
	if r.Finding != nil {
		if found, err = columnsOf(tx, *r.Finding); err != nil {
			return 0, err
		}
	}
	verdict, reason := r.Verdict.String(), r.Reason.String()
	id, err = tx.add(inspections,
		r.Trigger.SeenAt.UnixMicro(), fit(r.Station), sequence, int64(r.Trigger.Sequence.Bits), int64(r.Missed),
		fit(r.Trigger.PartID), fit(r.Trigger.Lot), fit(r.Trigger.Recipe), fit(r.Trigger.UserData), fit(r.Mode), r.Cycle.Microseconds(), verdict, reason, fit(r.Detail),
		found.recipe, found.reason, found.detail, found.score, found.threshold, found.brightness, found.spread, found.sharpness,
		found.zone, found.device, found.review, found.heatmap.hash(), fit(r.Digest), flag(r.Recovered), fit(r.Software))
	if err != nil {
		return 0, err
	}
	if err := found.heatmap.insert(tx, id); err != nil {
		return 0, err
	}
	recipe, _ := found.recipe.(int64)
	o := outcome{
		at: r.Trigger.SeenAt.UnixMicro(), station: fit(r.Station), lot: fit(r.Trigger.Lot), recipe: recipe,
		verdict: verdict, reason: reason, decided: reason,
		score: nullable(found.score), brightness: nullable(found.brightness), sharpness: nullable(found.sharpness),
	}
	if err := o.count(tx, 1); err != nil || r.Verdict == part.Pass {
		return id, err
	}
	return id, o.list(tx, id)
}

// findingColumns are the columns that a finding takes, in time or late. Where there is none, all but the
// zone and the flag are NULL.
type findingColumns struct {
	recipe, reason, detail, score, threshold, brightness, spread, sharpness any
	zone, device                                                            string
	review                                                                  int64
	heatmap                                                                 *grid
}

func columnsOf(tx *ledger, f part.Finding) (c findingColumns, err error) {
	if c.recipe, err = recipeID(tx, f.Recipe); err != nil {
		return c, err
	}
	c.reason, c.detail = f.Reason.String(), fit(f.Detail)
	c.score, c.threshold = number(f.Score), number(f.Threshold)
	c.brightness, c.spread, c.sharpness = number(f.Quality.Brightness), number(f.Quality.Spread), number(f.Quality.Sharpness)
	c.zone, c.device, c.review = fit(f.Zone), fit(f.Device), flag(f.Review)
	c.heatmap, err = gridOf(f.Map)
	return c, err
}

// recipeID is the row of a recipe version, NULL for none. The first part that meets it makes the row.
func recipeID(tx *ledger, r part.Recipe) (any, error) {
	if r == (part.Recipe{}) {
		return nil, nil
	}
	args := []any{fit(r.Name), int64(r.Version), fit(r.Hash), fit(r.Backbone)}
	var id int64
	err := tx.QueryRow(`SELECT id FROM recipe WHERE name = ? AND version = ? AND hash = ? AND backbone = ?`, args...).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		id, err = tx.add(recipes, args...)
	}
	return id, err
}

// grid is a heatmap as it stands in its row; nil for none.
type grid struct {
	width, height int64
	lo, hi        float64
	cells         []byte
	thumbnail     string
}

func gridOf(m part.Map) (*grid, error) {
	if len(m.Cells) == 0 {
		return nil, nil
	}
	if m.Width*m.Height != len(m.Cells) {
		return nil, fmt.Errorf("a heatmap of %d x %d has %d cells", m.Width, m.Height, len(m.Cells))
	}
	lo, hi, cells := encodeMap(m)
	return &grid{int64(m.Width), int64(m.Height), lo + 0, hi + 0, cells, thumbnailOf(m)}, nil
}

// hash is what ties the heatmap to the row of its part.
func (g *grid) hash() any {
	if g == nil {
		return nil
	}
	h := sha256.New()
	for _, v := range []any{g.width, g.height, g.lo, g.hi, g.cells} {
		writeCanonical(h, v)
	}
	return h.Sum(nil)
}

func (g *grid) insert(tx *ledger, id int64) error {
	if g == nil {
		return nil
	}
	_, err := tx.Exec(`INSERT INTO heatmap (inspection_id, width, height, lo, hi, cells) VALUES (?, ?, ?, ?, ?, ?)`,
		id, g.width, g.height, g.lo, g.hi, g.cells)
	if err != nil {
		return err
	}
	return insertThumbnail(tx, id, g.width, g.height, g.thumbnail)
}

func insertDelivery(tx *ledger, id int64, at time.Time, d part.Delivery) error {
	before, err := outcomeOf(tx, id)
	if err != nil {
		return err
	}
	_, err = tx.add(deliveries, id, at.UnixMicro(), d.Verdict.String(), d.Reason.String(), string(d.Outcome), d.Total.Microseconds(), stagesToText(d.Stages), fit(d.Error))
	if err != nil {
		return err
	}
	if d.Verdict.String() == before.verdict && d.Reason.String() == before.reason {
		return nil // as nearly always: it says what was known
	}
	return recount(tx, id, before)
}

// insertLate writes what was found too late. The row of the part has no heatmap, so this one takes its place.
func insertLate(tx *ledger, id int64, at time.Time, f part.Finding) error {
	found, err := columnsOf(tx, f)
	if err != nil {
		return err
	}
	_, err = tx.add(lates, id, at.UnixMicro(), found.recipe, found.reason, found.detail, found.score, found.threshold,
		found.brightness, found.spread, found.sharpness, found.zone, found.heatmap.hash(), stagesToText(f.Stages))
	if err != nil {
		return err
	}
	return found.heatmap.insert(tx, id)
}

func insertEvent(tx *ledger, at time.Time, kind, who, detail string) error {
	_, err := tx.add(events, at.UnixMicro(), fit(kind), fit(who), fit(detail))
	return err
}

// stage is a part.Stage as it stands in the record: ["name", microseconds].
type stage part.Stage

func (s stage) MarshalJSON() ([]byte, error) {
	return json.Marshal([2]any{fit(s.Name), s.Took.Microseconds()})
}

func (s *stage) UnmarshalJSON(text []byte) error {
	var us int64
	pair := []any{&s.Name, &us}
	if err := json.Unmarshal(text, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return fmt.Errorf("a stage has %d fields", len(pair))
	}
	s.Took = time.Duration(us) * time.Microsecond
	return nil
}

func stagesToText(stages []part.Stage) string {
	kept := make([]stage, len(stages))
	for i, s := range stages {
		kept[i] = stage(s)
	}
	text, err := json.Marshal(kept)
	if err != nil {
		panic(err) // strings and integers always have a JSON form
	}
	return string(text)
}

func stagesFromText(text string) ([]part.Stage, error) {
	var kept []stage
	if err := json.Unmarshal([]byte(text), &kept); err != nil {
		return nil, fmt.Errorf("stages %q: %w", text, err)
	}
	stages := make([]part.Stage, len(kept))
	for i, s := range kept {
		stages[i] = part.Stage(s)
	}
	return stages, nil
}
