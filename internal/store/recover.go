package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"linectl/internal/part"
)

// Last returns how far the station's record has come in the PLC's counting: the counter value of the
// newest row that has one, or where counting began after that row.
func (s *Store) Last(ctx context.Context, station string) (last part.Count, err error) {
	var row int64
	err = s.db.QueryRowContext(ctx, `SELECT id, sequence, sequence_bits FROM inspection WHERE station = ? AND sequence IS NOT NULL ORDER BY id DESC LIMIT 1`,
		fit(station)).Scan(&row, &last.Last.Value, &last.Last.Bits)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return part.Count{}, err
	}
	var began part.Count
	err = s.db.QueryRowContext(ctx, `SELECT sequence, sequence_bits, fresh FROM counting WHERE station = ? AND after >= ? ORDER BY id DESC LIMIT 1`,
		fit(station), row).Scan(&began.Last.Value, &began.Last.Bits, &began.Fresh)
	switch {
	case err == nil:
		return began, nil
	case errors.Is(err, sql.ErrNoRows):
		return last, nil
	}
	return part.Count{}, err
}

// Recover compares what the PLC's tags say of the last result with the record, and adds what the
// record lacks: the row of a result that the PLC was told (recovered is true), or the outcome of a
// row whose delivery was cut off. Doing it twice adds nothing.
//
// Which row, if any, is the told result? Neither the counter nor the part id identifies it among all
// rows ever: a 16-bit counter comes round, a PLC that restarts counts from 0, a part may come twice.
// But the tags hold the result that was written last, rows and deliveries are made in the order in
// which results are written, and each is durable only after those before it. So the told result is
//
//   - the row whose confirmed delivery is the newest one, or
//   - a row after that one, whose delivery the crash cut off or the PLC did not confirm, or
//   - newer than every row: a reject does not wait for its row.
//
// All rows before the newest confirmed delivery are out of the question, whatever their counter. In
// the few that remain, counter and part id must agree, and where the tags still hold the result,
// what was told must too; so even a PLC that restarted and told another result under the same number
// is noticed.
//
// Where result_valid is FALSE, the verdict tags have gone back to rest and say nothing. The echo may
// still name a part that the record lacks. It counts as a reject then: a pass is never told before its
// row is durable. An echo of 0 without a part id is a tag that nobody has written.
//
// Where counting begins anew, begins is kept with it: what goes by from then on is missed even if
// linectl ends before it has written any row.
func (s *Store) Recover(ctx context.Context, station string, told part.Told, begins part.Count) (recovered bool, err error) {
	at := time.Now()
	err = s.writer.wait(ctx, "recovery", func(tx *ledger) (err error) {
		if recovered, err = recoverTold(tx, at, fit(station), told); err != nil || !begins.Last.Known() {
			return err
		}
		var newest int64
		if err := tx.QueryRow(`SELECT coalesce(max(id), 0) FROM inspection`).Scan(&newest); err != nil {
			return err
		}
		_, err = tx.add(countings, at.UnixMicro(), fit(station), int64(begins.Last.Value), int64(begins.Last.Bits), flag(begins.Fresh), newest)
		return err
	})
	if err != nil {
		return false, explain(s.config.Path, fmt.Errorf("recover the PLC's last result: %w", err))
	}
	return recovered, nil
}

func recoverTold(tx *ledger, at time.Time, station string, told part.Told) (recovered bool, err error) {
	if !told.Written() {
		return false, nil
	}
	known, err := hasRows(tx, station)
	if err != nil {
		return false, err
	}
	if !known {
		// What is no longer valid may tell of a time before this record, unless it was counted since.
		counted, err := countedSince(tx, station, told.Sequence)
		if err != nil || !told.Valid && !counted {
			return false, err
		}
		return true, insertTold(tx, at, station, told)
	}
	confirmed, err := newestConfirmed(tx, station)
	if err != nil {
		return false, err
	}
	candidates, err := candidatesFor(tx, station, confirmed, told)
	if err != nil {
		return false, err
	}
	for _, c := range candidates {
		if told.Valid && !c.agrees(told) {
			continue
		}
		if told.Valid && !c.confirmed {
			err = insertDelivery(tx, c.id, at, part.Delivery{Verdict: told.Verdict, Reason: c.reasonOf(told), Outcome: part.Recovered})
		}
		return false, err
	}
	return true, insertTold(tx, at, station, told)
}

func hasRows(tx *ledger, station string) (yes bool, err error) {
	err = tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM inspection WHERE station = ?)`, station).Scan(&yes)
	return yes, err
}

// countedSince tells whether the counter value came after counting had begun.
func countedSince(tx *ledger, station string, sequence part.Sequence) (bool, error) {
	var began part.Sequence
	err := tx.QueryRow(`SELECT sequence, sequence_bits FROM counting WHERE station = ? ORDER BY id DESC LIMIT 1`, station).Scan(&began.Value, &began.Bits)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil || began.Bits != sequence.Bits {
		return false, err
	}
	distance, forward := sequence.Since(began)
	return forward && distance > 0, nil
}

// newestConfirmed is the row of the newest delivery that the PLC is known to have; 0 if there is none.
// CROSS JOIN makes SQLite go through the deliveries from the newest on, of which the first will mostly do.
func newestConfirmed(tx *ledger, station string) (id int64, err error) {
	err = tx.QueryRow(`SELECT d.inspection_id FROM delivery d CROSS JOIN inspection i ON i.id = d.inspection_id
		WHERE d.outcome IN ('written', 'recovered') AND i.station = ? ORDER BY d.id DESC LIMIT 1`, station).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return id, err
}

// candidate is a row that may be the told result.
type candidate struct {
	id        int64
	verdict   part.Verdict // told, where confirmed; else decided
	reason    part.Reason
	score     float64
	confirmed bool
}

// candidatesFor returns the rows from the newest confirmed one on that bear the told counter value and
// part id, newest first. A gap's row was never told.
func candidatesFor(tx *ledger, station string, confirmed int64, told part.Told) ([]candidate, error) {
	var sequence any
	if told.Sequence.Known() {
		sequence = int64(told.Sequence.Value)
	}
	rows, err := tx.Query(`SELECT p.id, p.verdict, p.reason, p.decided, p.decided_reason, p.score, p.outcome IN ('written', 'recovered')
		FROM part p WHERE p.station = ? AND p.id >= ? AND p.missed = 0
			AND p.sequence IS ? AND p.sequence_bits = ? AND (p.part_id = ? OR ? = '')
		ORDER BY p.id DESC`, station, confirmed, sequence, told.Sequence.Bits, fit(told.PartID), told.PartID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var candidates []candidate
	for rows.Next() {
		var c candidate
		var verdict, reason, decided, decidedReason string
		var score sql.NullFloat64
		var isConfirmed sql.NullBool
		if err := rows.Scan(&c.id, &verdict, &reason, &decided, &decidedReason, &score, &isConfirmed); err != nil {
			return nil, err
		}
		if c.confirmed = isConfirmed.Bool; !c.confirmed {
			verdict, reason = decided, decidedReason
		}
		c.verdict, c.reason, c.score = verdictFrom(verdict), reasonFrom(reason), finite(score)
		candidates = append(candidates, c)
	}
	return candidates, rows.Err()
}

// agrees tells whether the row can be what was told. A row without confirmed delivery may have been
// told as a reject whatever had been decided, but as a pass only if it is one.
func (c candidate) agrees(told part.Told) bool {
	if !sameScore(c.score, told.Score) {
		return false
	}
	if !c.confirmed {
		return told.Verdict == part.Reject || c.verdict == part.Pass
	}
	return c.verdict == told.Verdict && sameReason(c.reason, told)
}

// reasonOf is the reason with which the row was told: the row's own, unless the tags have another.
func (c candidate) reasonOf(told part.Told) part.Reason {
	if told.Verdict == part.Reject && c.verdict == part.Reject && !hasReason(told) {
		return c.reason
	}
	return reasonTold(told)
}

// hasReason tells whether the tags gave a reason: a reject without one means that there is no such tag.
func hasReason(told part.Told) bool { return told.Reason != part.None && told.Reason != 0 }

func sameReason(reason part.Reason, told part.Told) bool {
	return told.Verdict == part.Pass || !hasReason(told) || reason == told.Reason
}

// sameScore compares only where both are there. The tag may be a 32-bit REAL.
func sameScore(ours, told float64) bool {
	if math.IsNaN(ours) || math.IsNaN(told) || math.IsInf(told, 0) {
		return true
	}
	return math.Abs(ours-told) <= 1e-5*max(math.Abs(ours), math.Abs(told), 1e-30)
}

// reasonTold makes verdict and reason fit together: a pass has none, a reject always has one.
func reasonTold(told part.Told) part.Reason {
	switch {
	case told.Verdict == part.Pass:
		return part.None
	case hasReason(told):
		return told.Reason
	}
	return part.Unknown
}

// insertTold writes the row of a result that the record lacks. When the part came is not known.
func insertTold(tx *ledger, at time.Time, station string, told part.Told) error {
	record := part.Record{
		Station:   station,
		Trigger:   part.Trigger{Sequence: told.Sequence, PartID: told.PartID, SeenAt: at},
		Verdict:   told.Verdict,
		Detail:    "rebuilt from the PLC's tags; the time is that of the recovery",
		Recovered: true,
	}
	if !told.Valid {
		told.Verdict = part.Reject
		record.Verdict = part.Reject
		record.Detail += "; result_valid was FALSE already: the verdict had gone from the tags and counts as reject"
	}
	record.Reason = reasonTold(told)
	if told.Valid && !math.IsNaN(told.Score) {
		none := math.NaN()
		record.Finding = &part.Finding{Score: told.Score, Threshold: none, Reason: record.Reason, Quality: part.Quality{Brightness: none, Spread: none, Sharpness: none}}
	}
	id, err := insertRecord(tx, record)
	if err != nil {
		return err
	}
	return insertDelivery(tx, id, at, part.Delivery{Verdict: told.Verdict, Reason: record.Reason, Outcome: part.Recovered})
}
