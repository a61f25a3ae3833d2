package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"linectl/internal/part"
)

const (
	thumbnailSide  = 8
	thumbnailCells = thumbnailSide * thumbnailSide
	thumbnailSteps = 64
	thumbnailZero  = '0'
)

// thumbnailOf is a heatmap at 8 x 8, as the table heatmap_thumbnail has it: the means over equal rectangles, in 64
// steps between the lowest and the highest of them. It is "" where nothing stands out.
func thumbnailOf(m part.Map) string {
	if len(m.Cells) == 0 || m.Width*m.Height != len(m.Cells) {
		return ""
	}
	across, down := overlaps(m.Width), overlaps(m.Height)
	var means [thumbnailCells]float64
	lo, hi := math.Inf(1), math.Inf(-1)
	for i := range means {
		var sum, weight float64
		for _, y := range down[i/thumbnailSide] {
			for _, x := range across[i%thumbnailSide] {
				if v := float64(m.Cells[y.at*m.Width+x.at]); !math.IsNaN(v) && !math.IsInf(v, 0) {
					sum += v * x.share * y.share
					weight += x.share * y.share
				}
			}
		}
		if means[i] = sum / weight; weight > 0 {
			lo, hi = min(lo, means[i]), max(hi, means[i])
		}
	}
	if !(hi > lo) {
		return ""
	}
	text := make([]byte, thumbnailCells)
	for i, v := range means {
		text[i] = thumbnailZero
		if v > lo { // and is a number
			text[i] += byte(math.Round((v - lo) / (hi - lo) * (thumbnailSteps - 1)))
		}
	}
	return string(text)
}

// overlap says which share of a cell lies in a cell of the thumbnail.
type overlap struct {
	at    int
	share float64
}

// overlaps are the cells of a row of n that lie in each of the thumbnail's columns.
func overlaps(n int) (columns [thumbnailSide][]overlap) {
	for c := range columns {
		from, to := float64(c*n)/thumbnailSide, float64((c+1)*n)/thumbnailSide
		for i := int(from); i < n && float64(i) < to; i++ {
			columns[c] = append(columns[c], overlap{i, min(to, float64(i+1)) - max(from, float64(i))})
		}
	}
	return columns
}

func insertThumbnail(tx *ledger, id, width, height int64, text string) error {
	if text == "" {
		return nil
	}
	_, err := tx.Exec(`INSERT INTO heatmap_thumbnail (inspection_id, width, height, cells) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, id, width, height, text)
	return err
}

// thumbnailsFrom is the id from which on every heatmap has its thumbnail: older ones are of a linectl that made none.
func (r *Reader) thumbnailsFrom(ctx context.Context) (id int64, err error) {
	var text string
	err = r.db.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = 'thumbnails_from'`).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err == nil {
		id, err = strconv.ParseInt(text, 10, 64)
	}
	return id, err
}

const (
	thumbnailSlice = 500         // heatmaps that one transaction gives their thumbnails: it takes some 20 ms
	thumbnailEvery = time.Second // so ten million take some hours, and the line does not notice
)

// fillThumbnails gives the heatmaps that an older linectl wrote their thumbnails, the newest first, while the daemon runs.
func (s *Store) fillThumbnails(ctx context.Context) {
	ticker := time.NewTicker(thumbnailEvery)
	defer ticker.Stop()
	for {
		from, err := s.thumbnailsFrom(ctx)
		if err == nil && from > 0 {
			err = s.fillSlice(ctx, from)
		}
		switch {
		case ctx.Err() != nil || err == nil && from == 0:
			return
		case err != nil:
			s.log.Warn("older heatmaps stay slow to compare until the next start", "error", err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// fillSlice makes the thumbnails of the ids below from.
func (s *Store) fillSlice(ctx context.Context, from int64) error {
	ids, err := s.scanIDs(ctx, `SELECT inspection_id FROM heatmap WHERE inspection_id < ? ORDER BY inspection_id DESC LIMIT ?`, from, thumbnailSlice)
	if err != nil {
		return err
	}
	maps := make([]part.Map, len(ids))
	for i, id := range ids {
		if maps[i], err = s.heatmap(ctx, id); err != nil {
			return err
		}
	}
	return s.commit(ctx, "thumbnails of heatmaps", func(tx *ledger) error {
		for i, id := range ids {
			m := maps[i]
			if err := insertThumbnail(tx, id, int64(m.Width), int64(m.Height), thumbnailOf(m)); err != nil {
				return err
			}
		}
		if len(ids) < thumbnailSlice {
			_, err := tx.Exec(`DELETE FROM meta WHERE key = 'thumbnails_from'`)
			return err
		}
		_, err := tx.Exec(`UPDATE meta SET value = ? WHERE key = 'thumbnails_from'`, strconv.FormatInt(ids[len(ids)-1], 10))
		return err
	})
}

func (r *Reader) scanIDs(ctx context.Context, query string, args ...any) (ids []int64, err error) {
	rows, err := r.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, r.explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("read ids: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, r.explain(rows.Err())
}
