package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"linectl/internal/part"
)

const insertEvent = `INSERT INTO event (at, kind, who, detail) VALUES (?, ?, ?, ?)`

// number is v for a REAL column: NULL where it is not finite.
func number(v float64) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return v
}

// insertRecord writes the row of a part with its heatmap.
func insertRecord(tx *sql.Tx, r part.Record) (id int64, err error) {
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
	result, err := tx.Exec(`INSERT INTO inspection (
			at, station, sequence, sequence_bits, missed, part_id, lot, recipe_asked, mode, verdict, reason, detail,
			recipe_id, found, found_detail, score, threshold, brightness, spread, sharpness,
			digest, recovered, software)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.Trigger.SeenAt.UnixMicro(), fit(r.Station), sequence, r.Trigger.Sequence.Bits, int64(r.Missed),
		fit(r.Trigger.PartID), fit(r.Trigger.Lot), fit(r.Trigger.Recipe), fit(r.Mode), r.Verdict.String(), r.Reason.String(), fit(r.Detail),
		found.recipe, found.reason, found.detail, found.score, found.threshold, found.brightness, found.spread, found.sharpness,
		fit(r.Digest), r.Recovered, fit(r.Software))
	if err != nil {
		return 0, err
	}
	if id, err = result.LastInsertId(); err != nil {
		return 0, err
	}
	if r.Finding != nil {
		err = insertMap(tx, id, r.Finding.Map)
	}
	return id, err
}

// findingColumns are the columns that a finding takes, in time or late; all NULL where there is none.
type findingColumns struct {
	recipe, reason, detail, score, threshold, brightness, spread, sharpness any
}

func columnsOf(tx *sql.Tx, f part.Finding) (findingColumns, error) {
	recipe, err := recipeID(tx, f.Recipe)
	return findingColumns{
		recipe: recipe, reason: f.Reason.String(), detail: fit(f.Detail),
		score: number(f.Score), threshold: number(f.Threshold),
		brightness: number(f.Quality.Brightness), spread: number(f.Quality.Spread), sharpness: number(f.Quality.Sharpness),
	}, err
}

// recipeID is the row of a recipe version, NULL for none. The first part that meets it makes the row.
func recipeID(tx *sql.Tx, r part.Recipe) (any, error) {
	if r == (part.Recipe{}) {
		return nil, nil
	}
	args := []any{fit(r.Name), r.Version, fit(r.Hash), fit(r.Backbone)}
	if _, err := tx.Exec(`INSERT INTO recipe (name, version, hash, backbone) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, args...); err != nil {
		return nil, err
	}
	var id int64
	err := tx.QueryRow(`SELECT id FROM recipe WHERE name = ? AND version = ? AND hash = ? AND backbone = ?`, args...).Scan(&id)
	return id, err
}

func insertMap(tx *sql.Tx, id int64, m part.Map) error {
	if len(m.Cells) == 0 {
		return nil
	}
	if m.Width*m.Height != len(m.Cells) {
		return fmt.Errorf("a heatmap of %d x %d has %d cells", m.Width, m.Height, len(m.Cells))
	}
	lo, hi, cells := encodeMap(m)
	_, err := tx.Exec(`INSERT INTO heatmap (inspection_id, width, height, lo, hi, cells) VALUES (?, ?, ?, ?, ?, ?)`,
		id, m.Width, m.Height, lo, hi, cells)
	return err
}

func insertDelivery(tx *sql.Tx, id int64, at time.Time, d part.Delivery) error {
	_, err := tx.Exec(`INSERT INTO delivery (inspection_id, at, verdict, reason, outcome, total_us, stages, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		id, at.UnixMicro(), d.Verdict.String(), d.Reason.String(), string(d.Outcome), d.Total.Microseconds(), stagesToText(d.Stages), fit(d.Error))
	return err
}

// insertLate writes what was found too late. The row of the part has no heatmap, so this one takes its place.
func insertLate(tx *sql.Tx, id int64, at time.Time, f part.Finding) error {
	found, err := columnsOf(tx, f)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO late (inspection_id, at, recipe_id, found, found_detail, score, threshold, brightness, spread, sharpness, stages)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		id, at.UnixMicro(), found.recipe, found.reason, found.detail, found.score, found.threshold,
		found.brightness, found.spread, found.sharpness, stagesToText(f.Stages))
	if err != nil {
		return err
	}
	return insertMap(tx, id, f.Map)
}

// stage is a part.Stage as it stands in the record.
type stage struct {
	Name string `json:"name"`
	Us   int64  `json:"us"`
}

func stagesToText(stages []part.Stage) string {
	kept := make([]stage, len(stages))
	for i, s := range stages {
		kept[i] = stage{fit(s.Name), s.Took.Microseconds()}
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
		stages[i] = part.Stage{Name: s.Name, Took: time.Duration(s.Us) * time.Microsecond}
	}
	return stages, nil
}
