package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"

	"linectl/internal/hint"
	"linectl/internal/part"
)

// Alike is a part, and how alike its heatmap is to that of another: Pearson's correlation of the cells, from
// -1 to 1. It tells of the places of high scores, not of their height.
type Alike struct {
	Part
	Likeness float64
}

// Near finds those of the parts that match whose heatmaps are most like that of the row with that id, the
// most alike first, f.Limit at most. Heatmaps of another size are of another recipe, and left out. The heatmap
// of every part that matches is read: 10,000 take some seconds.
func (r *Reader) Near(ctx context.Context, id int64, f Filter) ([]Alike, error) {
	like, err := r.heatmap(ctx, id)
	if err != nil {
		return nil, err
	}
	if like.Cells == nil {
		return nil, hint.New(hint.NoMatch, fmt.Errorf("record %d has no heatmap", id), "'linectl show' tells what it has")
	}
	limit := f.Limit
	f.Limit = 0
	var found []Alike
	byLikeness := func(a, b Alike) int { return cmp.Or(cmp.Compare(b.Likeness, a.Likeness), cmp.Compare(b.ID, a.ID)) }
	for p, err := range r.Find(ctx, f) {
		if err != nil {
			return nil, err
		}
		if p.ID == id {
			continue
		}
		m, err := r.heatmap(ctx, p.ID)
		if err != nil {
			return nil, err
		}
		likeness, ok := correlation(like, m)
		if !ok {
			continue
		}
		a := Alike{p, likeness}
		place, _ := slices.BinarySearchFunc(found, a, byLikeness)
		if found = slices.Insert(found, place, a); limit > 0 && len(found) > limit {
			found = found[:limit]
		}
	}
	return found, nil
}

// heatmap is that of a row; it has no cells where there is none.
func (r *Reader) heatmap(ctx context.Context, id int64) (part.Map, error) {
	var width, height int
	var lo, hi float64
	var cells []byte
	err := r.db.QueryRowContext(ctx, `SELECT width, height, lo, hi, cells FROM heatmap WHERE inspection_id = ?`, id).Scan(&width, &height, &lo, &hi, &cells)
	if errors.Is(err, sql.ErrNoRows) {
		return part.Map{}, nil
	}
	if err != nil {
		return part.Map{}, fmt.Errorf("read the heatmap of record %d: %w", id, r.explain(err))
	}
	m, err := decodeMap(width, height, lo, hi, cells)
	if err != nil {
		return part.Map{}, hint.New(hint.Damage, fmt.Errorf("heatmap of record %d: %w", id, err), damageHint)
	}
	return m, nil
}

// correlation is Pearson's, over the cells that are numbers in both; false where the sizes differ or one of
// the maps is the same everywhere.
func correlation(a, b part.Map) (float64, bool) {
	if a.Width != b.Width || a.Height != b.Height {
		return 0, false
	}
	var n, x, y, xx, yy, xy float64
	for i := range a.Cells {
		u, v := float64(a.Cells[i]), float64(b.Cells[i])
		if math.IsNaN(u) || math.IsNaN(v) {
			continue
		}
		n++
		x, y, xx, yy, xy = x+u, y+v, xx+u*u, yy+v*v, xy+u*v
	}
	spread := (n*xx - x*x) * (n*yy - y*y)
	if !(spread > 1e-12*n*xx*n*yy) {
		return 0, false
	}
	return min(max((n*xy-x*y)/math.Sqrt(spread), -1), 1), true
}
