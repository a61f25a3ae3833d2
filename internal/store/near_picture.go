package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"

	"linectl/internal/part"
)

// NearPicture finds those of the parts that match whose kept pictures are most like a frame, the most alike
// first, f.Limit at most. Likeness is the correlation of the pictures' hashes: 1 less a 128th for each of the 256 bits
// that differs. A picture that retention has removed is still found. Unknown is how many pictures have no
// hash, as an older linectl kept them.
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
		unknown += bare
		with, err := splitTexts(hashed.String, texts.String, 2*len(like))
		if err != nil {
			return oldest, err
		}
		closest := map[int64]int{} // of the pictures of a part
		for id, text := range with {
			var hash pictureHash
			if _, err := hex.Decode(hash[:], []byte(text)); err != nil {
				return oldest, fmt.Errorf("hash of a picture of record %d: %w", id, err)
			}
			if d, there := closest[id]; !there || hash.distance(like) < d {
				closest[id] = hash.distance(like)
			}
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
