package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"linectl/internal/hint"
	"linectl/internal/part"
)

// Story is everything that the record knows of one part.
type Story struct {
	ID         int64
	Record     part.Record
	Verdict    part.Verdict // what the PLC was told, where it was told; else what was decided
	Reason     part.Reason
	Deliveries []Delivery // in the order in which they were made
	Late       *Late      // what was found after the deadline; nil if nothing was
	Pictures   []Picture
}

// Delivery is a part.Delivery and when it was noted.
type Delivery struct {
	At time.Time
	part.Delivery
}

// Late is a part.Finding that came after the deadline, and when.
type Late struct {
	At time.Time
	part.Finding
}

// Picture is a picture file that was kept.
type Picture struct {
	Camera        string
	ExposedAt     time.Time
	Source        string // the file that it was read from; "" for a live camera
	Width, Height int
	Path          string // of the file
	Bytes         int64
	SHA256        string    // of the file, hex
	Removed       time.Time // when retention removed the file; zero while it is kept
	RemovedWhy    string
}

// Part tells the whole story of the row with that id. Where there is none the error's kind is NoMatch.
func (r *Reader) Part(ctx context.Context, id int64) (Story, error) {
	tx, err := r.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // one moment of the record
	if err != nil {
		return Story{}, r.explain(err)
	}
	defer tx.Rollback()
	s := Story{ID: id}
	if err := readRecord(ctx, tx, &s); errors.Is(err, sql.ErrNoRows) {
		return Story{}, hint.New(hint.NoMatch, fmt.Errorf("there is no record %d", id), "'linectl query' lists what there is")
	} else if err != nil {
		return Story{}, fmt.Errorf("read record %d: %w", id, r.explain(err))
	}
	err = errors.Join(readDeliveries(ctx, tx, &s), readLate(ctx, tx, &s), readMap(ctx, tx, &s), r.readPictures(ctx, tx, &s))
	if err != nil {
		return Story{}, fmt.Errorf("read record %d: %w", id, r.explain(err))
	}
	return s, nil
}

// found scans the columns of a finding.
type found struct {
	reason, detail                                  sql.NullString
	score, threshold, brightness, spread, sharpness sql.NullFloat64
	name, hash, backbone                            sql.NullString
	version                                         sql.NullInt64
	zone, device                                    string
	review                                          bool
}

func (f *found) targets() []any {
	return []any{&f.reason, &f.detail, &f.score, &f.threshold, &f.brightness, &f.spread, &f.sharpness, &f.name, &f.version, &f.hash, &f.backbone, &f.zone, &f.device, &f.review}
}

func (f *found) finding() part.Finding {
	return part.Finding{
		Recipe:    part.Recipe{Name: f.name.String, Version: int(f.version.Int64), Hash: f.hash.String, Backbone: f.backbone.String},
		Score:     finite(f.score),
		Threshold: finite(f.threshold),
		Quality:   part.Quality{Brightness: finite(f.brightness), Spread: finite(f.spread), Sharpness: finite(f.sharpness)},
		Reason:    reasonFrom(f.reason.String),
		Detail:    f.detail.String,
		Zone:      f.zone,
		Device:    f.device,
		Review:    f.review,
	}
}

func readRecord(ctx context.Context, tx *sql.Tx, s *Story) error {
	var at, cycle int64
	var sequence sql.NullInt64
	var bits int
	var verdict, reason, told, toldReason string
	var f found
	r := &s.Record
	targets := []any{&at, &r.Station, &sequence, &bits, &r.Missed, &r.Trigger.PartID, &r.Trigger.Lot, &r.Trigger.Recipe, &r.Trigger.UserData, &r.Mode, &cycle,
		&verdict, &reason, &r.Detail, &r.Digest, &r.Recovered, &r.Software, &told, &toldReason}
	err := tx.QueryRowContext(ctx, `SELECT i.at, i.station, i.sequence, i.sequence_bits, i.missed, i.part_id, i.lot, i.recipe_asked, i.user_data, i.mode, i.cycle_us,
			i.verdict, i.reason, i.detail, i.digest, i.recovered, i.software, p.verdict, p.reason,
			i.found, i.found_detail, i.score, i.threshold, i.brightness, i.spread, i.sharpness, r.name, r.version, r.hash, r.backbone, i.zone, i.device, i.review
		FROM inspection i JOIN part p ON p.id = i.id LEFT JOIN recipe r ON r.id = i.recipe_id WHERE i.id = ?`, s.ID).
		Scan(append(targets, f.targets()...)...)
	if err != nil {
		return err
	}
	r.Trigger.SeenAt, r.Trigger.Sequence = instant(at), sequenceFrom(sequence, bits)
	r.Cycle = time.Duration(cycle) * time.Microsecond
	r.Verdict, r.Reason = verdictFrom(verdict), reasonFrom(reason)
	s.Verdict, s.Reason = verdictFrom(told), reasonFrom(toldReason)
	if f.reason.Valid {
		finding := f.finding()
		r.Finding = &finding
	}
	return nil
}

func readDeliveries(ctx context.Context, tx *sql.Tx, s *Story) error {
	rows, err := tx.QueryContext(ctx, `SELECT at, verdict, reason, outcome, total_us, stages, error FROM delivery WHERE inspection_id = ? ORDER BY id`, s.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var d Delivery
		var at, total int64
		var verdict, reason, outcome, stages string
		if err := rows.Scan(&at, &verdict, &reason, &outcome, &total, &stages, &d.Error); err != nil {
			return err
		}
		d.At, d.Verdict, d.Reason = instant(at), verdictFrom(verdict), reasonFrom(reason)
		d.Outcome, d.Total = part.Outcome(outcome), time.Duration(total)*time.Microsecond
		if d.Stages, err = stagesFromText(stages); err != nil {
			return err
		}
		s.Deliveries = append(s.Deliveries, d)
	}
	return rows.Err()
}

func readLate(ctx context.Context, tx *sql.Tx, s *Story) error {
	var at int64
	var stages string
	var f found
	err := tx.QueryRowContext(ctx, `SELECT l.at, l.stages, l.found, l.found_detail, l.score, l.threshold, l.brightness, l.spread, l.sharpness, r.name, r.version, r.hash, r.backbone, l.zone, '', 0
		FROM late l LEFT JOIN recipe r ON r.id = l.recipe_id WHERE l.inspection_id = ?`, s.ID).Scan(append([]any{&at, &stages}, f.targets()...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	s.Late = &Late{At: instant(at), Finding: f.finding()}
	s.Late.Stages, err = stagesFromText(stages)
	return err
}

// readMap gives the heatmap to the finding that it belongs to: a row has one only.
func readMap(ctx context.Context, tx *sql.Tx, s *Story) error {
	var width, height int
	var lo, hi float64
	var cells []byte
	err := tx.QueryRowContext(ctx, `SELECT width, height, lo, hi, cells FROM heatmap WHERE inspection_id = ?`, s.ID).Scan(&width, &height, &lo, &hi, &cells)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	m, err := decodeMap(width, height, lo, hi, cells)
	switch {
	case err != nil:
		return hint.New(hint.Damage, err, damageHint)
	case s.Record.Finding != nil:
		s.Record.Finding.Map = m
	case s.Late != nil:
		s.Late.Map = m
	}
	return nil
}

func (r *Reader) readPictures(ctx context.Context, tx *sql.Tx, s *Story) error {
	rows, err := tx.QueryContext(ctx, `SELECT camera, exposed_at, source, width, height, path, bytes, sha256, x.at, coalesce(x.why, '')
		FROM frame f LEFT JOIN removal x ON x.frame_id = f.id WHERE inspection_id = ? ORDER BY camera`, s.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var p Picture
		var exposed int64
		var removed sql.NullInt64
		if err := rows.Scan(&p.Camera, &exposed, &p.Source, &p.Width, &p.Height, &p.Path, &p.Bytes, &p.SHA256, &removed, &p.RemovedWhy); err != nil {
			return err
		}
		if removed.Valid {
			p.Removed = instant(removed.Int64)
		}
		p.ExposedAt, p.Path = instant(exposed), filepath.Join(r.pictures, p.Path)
		s.Pictures = append(s.Pictures, p)
	}
	return rows.Err()
}
