package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"linectl/internal/hint"
	"linectl/internal/part"
)

// Alike is a part, and how alike it is to another: a correlation, from -1 to 1.
type Alike struct {
	Part
	Likeness float64
}

// closest is how many parts, picked by their thumbnails, are compared cell by cell.
const closest = 1000

// Near finds those of the parts that match whose heatmaps are most like that of the row with that id, the
// most alike first, f.Limit at most. Likeness is Pearson's correlation of the cells: it tells of the places of high
// scores, not of their height. Heatmaps of another size are of another recipe, and left out. Where more than
// 1,000 match, those 1,000 are compared that are most alike at 8 x 8.
func (r *Reader) Near(ctx context.Context, id int64, f Filter, progress func(done, total int64)) ([]Alike, error) {
	like, err := r.heatmap(ctx, id)
	if err != nil {
		return nil, err
	}
	thumbnail := thumbnailOf(like)
	if thumbnail == "" {
		if _, err := r.Part(ctx, id); err != nil {
			return nil, err // as where there is no such record
		}
		return nil, hint.New(hint.NoMatch, fmt.Errorf("record %d has no heatmap in which anything stands out", id), "'linectl show' tells what it has")
	}
	filled, err := r.thumbnailsFrom(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the record: %w", r.explain(err))
	}
	nearest := best{limit: max(f.Limit, closest)}
	if f.Limit == 0 {
		nearest.limit = 0
	}
	w := weightsOf(thumbnail)
	err = r.stretches(ctx, f, progress, func(ctx context.Context, s stretch) error {
		return r.thumbnails(ctx, s, like.Width, like.Height, filled, func(ids []int64, text func(i int) string) {
			likeness := make([]scored, 0, len(ids))
			for i, other := range ids {
				if other != id {
					likeness = append(likeness, scored{other, w.likeness(text(i))})
				}
			}
			nearest.add(likeness...)
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read the record: %w", r.explain(err))
	}
	exact := best{limit: f.Limit}
	for _, c := range nearest.found {
		m, err := r.heatmap(ctx, c.id)
		if err != nil {
			return nil, err
		}
		if likeness, ok := correlation(like, m); ok {
			exact.add(scored{c.id, likeness})
		}
	}
	return r.alike(ctx, exact.found)
}

// best is the list of the most alike, in order; limit 0 is none. It may be added to from anywhere.
type best struct {
	limit int
	mu    sync.Mutex
	found []scored
}

type scored struct {
	id       int64
	likeness float64
}

func (b *best) add(some ...scored) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range some {
		b.place(s)
	}
}

func (b *best) place(s scored) {
	full := b.limit > 0 && len(b.found) == b.limit
	if full && s.likeness < b.found[len(b.found)-1].likeness {
		return
	}
	place, there := slices.BinarySearchFunc(b.found, s, func(a, b scored) int {
		return cmp.Or(cmp.Compare(b.likeness, a.likeness), cmp.Compare(b.id, a.id))
	})
	if there || full && place == b.limit {
		return
	}
	if b.found = slices.Insert(b.found, place, s); full {
		b.found = b.found[:b.limit]
	}
}

// alike reads the parts of a list.
func (r *Reader) alike(ctx context.Context, list []scored) ([]Alike, error) {
	var all []Alike
	for some := range slices.Chunk(list, page) {
		ids := make([]int64, len(some))
		for i, s := range some {
			ids[i] = s.id
		}
		parts, err := r.byID(ctx, ids)
		if err != nil {
			return nil, fmt.Errorf("read the record: %w", r.explain(err))
		}
		for _, s := range some {
			all = append(all, Alike{parts[s.id], s.likeness})
		}
	}
	return all, nil
}

// thumbnails hands over those of a stretch, of heatmaps of that size. SQLite gives them as one text: a row for each would
// take ten times as long. Below the id filled a heatmap may have none, and is read.
func (r *Reader) thumbnails(ctx context.Context, s stretch, width, height int, filled int64, found func(ids []int64, text func(i int) string)) error {
	var bare []int64
	if s.from < filled { // asked first: the daemon may be making them
		from, args := s.rows("heatmap")
		var err error
		if bare, err = r.scanIDs(ctx, `SELECT t.inspection_id FROM `+from+` AND t.inspection_id < ? AND t.width = ? AND t.height = ?
			AND NOT EXISTS (SELECT 1 FROM heatmap_thumbnail WHERE inspection_id = t.inspection_id)`, append(args, filled, width, height)...); err != nil {
			return err
		}
	}
	from, args := s.rows("heatmap_thumbnail")
	var texts, names sql.NullString
	err := r.db.QueryRowContext(ctx, `SELECT group_concat(t.cells, ''), group_concat(t.inspection_id) FROM `+from+` AND t.width = ? AND t.height = ?`,
		append(args, width, height)...).Scan(&texts, &names)
	if err != nil {
		return err
	}
	ids, text, err := splitTexts(names.String, texts.String, thumbnailCells)
	if err != nil {
		return err
	}
	found(ids, text)
	for _, id := range bare {
		m, err := r.heatmap(ctx, id)
		if err != nil {
			return err
		}
		if made := thumbnailOf(m); made != "" {
			found([]int64{id}, func(int) string { return made })
		}
	}
	return nil
}

// splitTexts takes apart what group_concat has put together: ids, and a text of so many bytes for each.
func splitTexts(names, texts string, size int) (ids []int64, text func(i int) string, err error) {
	ids = splitIDs(names)
	if len(texts) != len(ids)*size {
		return nil, nil, hint.New(hint.Damage, fmt.Errorf("of %d parts that can be compared there are %d bytes, not %d", len(ids), len(texts), len(ids)*size), damageHint)
	}
	return ids, func(i int) string { return texts[i*size : (i+1)*size] }, nil
}

func splitIDs(text string) (ids []int64) {
	for field := range strings.SplitSeq(text, ",") {
		if id, err := strconv.ParseInt(field, 10, 64); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// weights are a thumbnail as the correlation takes it: of mean 0 and length 1.
type weights [thumbnailCells]float64

func weightsOf(thumbnail string) (w weights) {
	var mean, length float64
	for i := range w {
		w[i] = float64(thumbnail[i])
		mean += w[i] / thumbnailCells
	}
	for i := range w {
		w[i] -= mean
		length += w[i] * w[i]
	}
	for i := range w {
		w[i] /= math.Sqrt(length)
	}
	return w
}

// likeness is Pearson's correlation with another thumbnail.
func (w *weights) likeness(thumbnail string) float64 {
	var sum, squares int
	var product float64
	for i := range thumbnailCells {
		v := int(thumbnail[i]) - thumbnailZero
		sum, squares = sum+v, squares+v*v
		product += w[i] * float64(v)
	}
	return product / math.Sqrt(float64(squares)-float64(sum*sum)/thumbnailCells)
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
