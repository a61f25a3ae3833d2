package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"image"
	"path/filepath"
	"sync/atomic"

	"linectl/internal/part"
)

// NearPicture finds those of the parts that match whose kept pictures are most like a frame, the most alike
// first, f.Limit at most. Likeness is the correlation of the pictures' hashes: 1 less a 128th for each of the 256 bits
// that differs. A picture that retention has removed is still found by its hash. One that an older linectl kept has none
// and is read; unknown is how many of these are gone or changed.
func (r *Reader) NearPicture(ctx context.Context, frame part.Frame, f Filter, progress func(done, total int64)) (found []Alike, unknown int64, err error) {
	like, nearest := hashOf(frame), best{limit: f.Limit}
	var gone atomic.Int64
	err = r.stretches(ctx, f, progress, func(ctx context.Context, s stretch) error {
		closest := map[int64]int{} // of the pictures of a part
		lost, err := r.hashes(ctx, s, func(id int64, hash pictureHash) {
			if d, there := closest[id]; !there || hash.distance(like) < d {
				closest[id] = hash.distance(like)
			}
		})
		gone.Add(lost)
		for id, distance := range closest {
			nearest.add(scored{id, 1 - float64(distance)/(4*float64(len(like)))})
		}
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read the record: %w", r.explain(err))
	}
	found, err = r.alike(ctx, nearest.found)
	return found, gone.Load(), err
}

// hashes hands over those of a stretch's pictures; lost is how many pictures have none and cannot be read.
func (r *Reader) hashes(ctx context.Context, s stretch, found func(id int64, hash pictureHash)) (lost int64, err error) {
	from, args := s.rows("frame_hash")
	var texts, names sql.NullString
	if err := r.db.QueryRowContext(ctx, `SELECT group_concat(t.bits, ''), group_concat(t.inspection_id) FROM `+from, args...).Scan(&texts, &names); err != nil {
		return 0, err
	}
	var hash pictureHash
	ids, text, err := splitTexts(names.String, texts.String, 2*len(hash))
	if err != nil {
		return 0, err
	}
	for i, id := range ids {
		if _, err := hex.Decode(hash[:], []byte(text(i))); err != nil {
			return 0, fmt.Errorf("hash of a picture of record %d: %w", id, err)
		}
		found(id, hash)
	}
	var frames int
	from, args = s.rows("frame")
	if err := r.db.QueryRowContext(ctx, `SELECT count(*) FROM `+from, args...).Scan(&frames); err != nil || frames == len(ids) {
		return 0, err
	}
	return r.hashKept(ctx, s, found)
}

// hashKept reads the pictures that have no hash.
func (r *Reader) hashKept(ctx context.Context, s stretch, found func(id int64, hash pictureHash)) (lost int64, err error) {
	from, args := s.rows("frame")
	rows, err := r.db.QueryContext(ctx, `SELECT t.inspection_id, t.path, t.sha256 FROM `+from+`
		AND NOT EXISTS (SELECT 1 FROM frame_hash WHERE inspection_id = t.inspection_id AND frame_id = t.id)`, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var path, sum string
		if err := rows.Scan(&id, &path, &sum); err != nil {
			return lost, err
		}
		frame, err := r.keptFrame(path, sum)
		switch {
		case Lost(err):
			lost++
		case err != nil:
			return lost, err
		default:
			found(id, hashOf(frame))
		}
	}
	return lost, rows.Err()
}

// keptFrame is a kept picture, if it is there and as it was.
func (r *Reader) keptFrame(path, sum string) (f part.Frame, err error) {
	if !filepath.IsLocal(path) {
		return f, errGone
	}
	data, err := Picture{Path: filepath.Join(r.pictures, path), SHA256: sum}.Read()
	if err != nil {
		return f, err
	}
	picture, _, err := image.Decode(bytes.NewReader(data)) // as encode wrote it
	if err != nil {
		return f, errChanged
	}
	bounds := picture.Bounds()
	f = part.Frame{Width: bounds.Dx(), Height: bounds.Dy()}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			red, green, blue, _ := picture.At(x, y).RGBA()
			f.Pixels = append(f.Pixels, byte(blue>>8), byte(green>>8), byte(red>>8))
		}
	}
	return f, nil
}
