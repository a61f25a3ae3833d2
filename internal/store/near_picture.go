package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"image"
	"os"
	"path/filepath"

	"linectl/internal/part"
)

// NearPicture finds those of the parts that match whose kept pictures are most like a frame, the most alike
// first, f.Limit at most. Likeness is the correlation of the pictures' hashes: 1 less a 128th for each of the 256 bits
// that differs. A picture that retention has removed is still found by its hash. One that an older linectl kept has none
// and is read; unknown is how many of these are gone or changed.
func (r *Reader) NearPicture(ctx context.Context, frame part.Frame, f Filter, progress func(done, total int64)) (found []Alike, unknown int64, err error) {
	like, nearest := hashOf(frame), best{limit: f.Limit}
	err = r.pages(ctx, f, "frame", progress, func(ctx context.Context, ids string, args []any) (oldest sql.NullInt64, err error) {
		var hashed, texts sql.NullString
		var bare int64
		err = r.db.QueryRowContext(ctx, `SELECT min(p.id), group_concat(h.bits, ''), group_concat(h.inspection_id), count(f.id) - count(h.frame_id)
			FROM (`+ids+`) p LEFT JOIN frame f ON f.inspection_id = p.id
			LEFT JOIN frame_hash h ON h.inspection_id = f.inspection_id AND h.frame_id = f.id`, args...).Scan(&oldest, &texts, &hashed, &bare)
		if err != nil {
			return oldest, err
		}
		closest := map[int64]int{} // of the pictures of a part
		near := func(id int64, hash pictureHash) {
			if d, there := closest[id]; !there || hash.distance(like) < d {
				closest[id] = hash.distance(like)
			}
		}
		if bare > 0 {
			lost, err := r.hashKept(ctx, ids, args, near)
			if err != nil {
				return oldest, err
			}
			unknown += lost
		}
		with, err := splitTexts(hashed.String, texts.String, 2*len(like))
		if err != nil {
			return oldest, err
		}
		for id, text := range with {
			var hash pictureHash
			if _, err := hex.Decode(hash[:], []byte(text)); err != nil {
				return oldest, fmt.Errorf("hash of a picture of record %d: %w", id, err)
			}
			near(id, hash)
		}
		for id, distance := range closest {
			nearest.add(id, 1-float64(distance)/(4*float64(len(like))))
		}
		return oldest, nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read the record: %w", r.explain(err))
	}
	found, err = r.alike(ctx, nearest)
	return found, unknown, err
}

// hashKept reads the pictures that have no hash.
func (r *Reader) hashKept(ctx context.Context, ids string, args []any, near func(id int64, hash pictureHash)) (lost int64, err error) {
	rows, err := r.db.QueryContext(ctx, `SELECT f.inspection_id, f.path, f.sha256 FROM (`+ids+`) p JOIN frame f ON f.inspection_id = p.id
		WHERE NOT EXISTS (SELECT 1 FROM frame_hash WHERE inspection_id = f.inspection_id AND frame_id = f.id)`, args...)
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
		if frame, ok := r.keptFrame(path, sum); ok {
			near(id, hashOf(frame))
		} else {
			lost++
		}
	}
	return lost, rows.Err()
}

// keptFrame is a kept picture, if it is there and as it was.
func (r *Reader) keptFrame(path, sum string) (f part.Frame, ok bool) {
	if !filepath.IsLocal(path) {
		return f, false
	}
	data, err := os.ReadFile(filepath.Join(r.pictures, path))
	if err != nil {
		return f, false
	}
	if got := sha256.Sum256(data); hex.EncodeToString(got[:]) != sum {
		return f, false
	}
	picture, _, err := image.Decode(bytes.NewReader(data)) // as encode wrote it
	if err != nil {
		return f, false
	}
	bounds := picture.Bounds()
	f = part.Frame{Width: bounds.Dx(), Height: bounds.Dy()}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			red, green, blue, _ := picture.At(x, y).RGBA()
			f.Pixels = append(f.Pixels, byte(blue>>8), byte(green>>8), byte(red>>8))
		}
	}
	return f, true
}
