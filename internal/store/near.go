package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"

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
		return nil, hint.New(hint.NoMatch, fmt.Errorf("record %d has no heatmap in which anything stands out", id), "'linectl show' tells what it has")
	}
	s := &nearScan{reader: r, like: like, weights: weightsOf(thumbnail), self: id, best: best{limit: max(f.Limit, closest)}}
	if f.Limit == 0 {
		s.best.limit = 0
	}
	if err := s.run(ctx, f, progress); err != nil {
		return nil, fmt.Errorf("read the record: %w", r.explain(err))
	}
	exact := best{limit: f.Limit}
	for _, c := range s.best.found {
		m, err := r.heatmap(ctx, c.id)
		if err != nil {
			return nil, err
		}
		if likeness, ok := correlation(like, m); ok {
			exact.add(c.id, likeness)
		}
	}
	return r.alike(ctx, exact)
}

// best is the list of the most alike, in order; limit 0 is none.
type best struct {
	limit int
	found []scored
}

type scored struct {
	id       int64
	likeness float64
}

func (b *best) add(id int64, likeness float64) {
	full := b.limit > 0 && len(b.found) == b.limit
	if full && likeness < b.found[len(b.found)-1].likeness {
		return
	}
	s := scored{id, likeness}
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
func (r *Reader) alike(ctx context.Context, b best) ([]Alike, error) {
	var all []Alike
	for some := range slices.Chunk(b.found, page) {
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

// nearScan goes through the thumbnails of the parts that match.
type nearScan struct {
	reader  *Reader
	like    part.Map
	weights weights
	self    int64
	best    best
	filled  int64 // below this id a heatmap may have no thumbnail
}

func (s *nearScan) run(ctx context.Context, f Filter, progress func(done, total int64)) (err error) {
	if s.filled, err = s.reader.thumbnailsFrom(ctx); err != nil {
		return err
	}
	from := "heatmap_thumbnail"
	if s.filled > 0 {
		from = "heatmap"
	}
	return s.reader.pages(ctx, f, from, progress, s.page)
}

// nearPage is how many parts one query takes: no result set stays open for long.
const nearPage = 5000

// pages calls do with a query for the ids of the next parts that match, the newest first, until it finds none; do
// returns the oldest of them. Without a condition the parts are those in a table of their looks.
func (r *Reader) pages(ctx context.Context, f Filter, table string, progress func(done, total int64), do func(ctx context.Context, ids string, args []any) (oldest sql.NullInt64, err error)) error {
	var newest int64
	if err := r.db.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) FROM inspection`).Scan(&newest); err != nil {
		return err
	}
	if f.Before > 0 {
		newest = min(newest, f.Before-1)
	}
	f.Limit = 0
	for f.Before = newest + 1; f.Before > 1; {
		ids, args := `SELECT DISTINCT inspection_id AS id FROM `+table+` WHERE inspection_id < ? ORDER BY inspection_id DESC LIMIT ?`, []any{f.Before}
		if f != (Filter{Before: f.Before}) {
			from, order := f.from()
			var where string
			where, args = f.where()
			ids = `SELECT id FROM ` + from + where + ` ORDER BY ` + order + ` DESC LIMIT ?`
		}
		oldest, err := do(ctx, ids, append(args, nearPage))
		if err != nil || !oldest.Valid {
			return err
		}
		f.Before = oldest.Int64
		if progress != nil {
			progress(newest+1-f.Before, newest)
		}
	}
	return nil
}

// page looks at the next parts. SQLite hands over their thumbnails as one text: a row for each would take
// ten times as long.
func (s *nearScan) page(ctx context.Context, ids string, args []any) (oldest sql.NullInt64, err error) {
	var found, bare, texts sql.NullString
	err = s.reader.db.QueryRowContext(ctx, `SELECT min(p.id), group_concat(t.cells, ''), group_concat(t.inspection_id),
			group_concat(CASE WHEN t.inspection_id IS NULL AND p.id < ? THEN p.id END)
		FROM (`+ids+`) p LEFT JOIN heatmap_thumbnail t ON t.inspection_id = p.id AND t.width = ? AND t.height = ?`,
		slices.Concat([]any{s.filled}, args, []any{s.like.Width, s.like.Height})...).Scan(&oldest, &texts, &found, &bare)
	if err != nil {
		return oldest, err
	}
	with, err := splitTexts(found.String, texts.String, thumbnailCells)
	if err != nil {
		return oldest, err
	}
	for id, text := range with {
		if id != s.self {
			s.best.add(id, s.weights.likeness(text))
		}
	}
	for _, id := range splitIDs(bare.String) {
		m, err := s.reader.heatmap(ctx, id)
		if err != nil {
			return oldest, err
		}
		if text := thumbnailOf(m); text != "" && id != s.self && m.Width == s.like.Width && m.Height == s.like.Height {
			s.best.add(id, s.weights.likeness(text))
		}
	}
	return oldest, nil
}

// splitTexts is each id with its text, of so many bytes.
func splitTexts(ids, texts string, size int) (iter.Seq2[int64, string], error) {
	list := splitIDs(ids)
	if len(texts) != len(list)*size {
		return nil, hint.New(hint.Damage, fmt.Errorf("of %d parts that can be compared there are %d bytes, not %d", len(list), len(texts), len(list)*size), damageHint)
	}
	return func(yield func(int64, string) bool) {
		for i, id := range list {
			if !yield(id, texts[i*size:(i+1)*size]) {
				return
			}
		}
	}, nil
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
