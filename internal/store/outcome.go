package store

import (
	"database/sql"
	"time"
)

// slotLength is the stretch of time that one row of slot counts: every time zone and every shift
// begins with a quarter of an hour.
const slotLength = 15 * time.Minute

// quarter is where the quarter of an hour of an instant begins.
func quarter(at int64) int64 {
	length := slotLength.Microseconds()
	return at - (at%length+length)%length
}

// outcome is a part as slot and reject have it.
type outcome struct {
	at                           int64
	station, lot                 string
	recipe                       int64
	verdict, reason, decided     string
	score, brightness, sharpness sql.NullFloat64
}

func outcomeOf(tx *ledger, id int64) (o outcome, err error) {
	err = tx.QueryRow(`SELECT i.at, i.station, i.lot, coalesce(i.recipe_id, 0), p.verdict, p.reason, i.reason, i.score, i.brightness, i.sharpness
		FROM inspection i JOIN part p ON p.id = i.id WHERE i.id = ?`, id).
		Scan(&o.at, &o.station, &o.lot, &o.recipe, &o.verdict, &o.reason, &o.decided, &o.score, &o.brightness, &o.sharpness)
	return o, err
}

// count adds the part to its slot, or with -1 takes it out again.
func (o outcome) count(tx *ledger, by int64) error {
	scored, measured := by*flag(o.score.Valid), by*flag(o.brightness.Valid)
	f := float64(by)
	_, err := tx.Exec(`INSERT INTO slot (at, station, recipe_id, lot, reason, decided, parts, scored, score, score2, measured, brightness, sharpness)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET parts = parts + excluded.parts, scored = scored + excluded.scored, score = score + excluded.score,
			score2 = score2 + excluded.score2, measured = measured + excluded.measured,
			brightness = brightness + excluded.brightness, sharpness = sharpness + excluded.sharpness`,
		quarter(o.at), o.station, o.recipe, o.lot, o.reason, o.decided, by, scored,
		f*o.score.Float64, f*o.score.Float64*o.score.Float64, measured, f*o.brightness.Float64, f*o.sharpness.Float64)
	return err
}

func (o outcome) list(tx *ledger, id int64) (err error) {
	if o.verdict == "reject" {
		_, err = tx.Exec(`INSERT INTO reject (inspection_id, lot, reason) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET reason = excluded.reason`, id, o.lot, o.reason)
	} else {
		_, err = tx.Exec(`DELETE FROM reject WHERE inspection_id = ?`, id)
	}
	return err
}

// recount moves the part to where it belongs after a delivery.
func recount(tx *ledger, id int64, before outcome) error {
	after, err := outcomeOf(tx, id)
	if err != nil || after == before {
		return err
	}
	if err := before.count(tx, -1); err != nil {
		return err
	}
	if err := after.count(tx, 1); err != nil {
		return err
	}
	return after.list(tx, id)
}
