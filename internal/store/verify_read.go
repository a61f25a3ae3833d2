package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
)

// verifyStep is how many links are read at a time: no result set stays open while their rows are judged.
const verifyStep = 2000

// step is a stretch of the chain with all that it takes to judge it.
type step struct {
	from, to int64
	links    []linkRow
	rows     map[[2]int64][]any // by kind and id
	heatmaps []foundMap
	err      error
}

// linkRow is a link as found.
type linkRow struct {
	n, kind, row int64
	hash         []byte
}

// foundMap is the heatmap of an inspection: what the row of the part says of it, in time or late, and what it comes to.
type foundMap struct {
	id         int64
	there      bool
	want, made []byte
}

// steps reads the chain up to a link, some steps at the same time, and hands them over in order. It ends early where ctx does.
func (r *Reader) steps(ctx context.Context, links int64) <-chan chan step {
	ahead := make(chan chan step, readAhead-2) // one more is being judged, and one waits to be handed over
	go func() {
		defer close(ahead)
		for from := int64(1); from <= links; from += verifyStep {
			to := min(from+verifyStep-1, links)
			read := make(chan step, 1)
			select {
			case ahead <- read:
			case <-ctx.Done():
				return
			}
			go func() { read <- r.step(ctx, from, to) }()
		}
	}()
	return ahead
}

func (r *Reader) step(ctx context.Context, from, to int64) step {
	s := step{from: from, to: to}
	var inspected []int64
	if s.links, s.rows, inspected, s.err = r.linked(ctx, from, to); s.err == nil {
		s.heatmaps, s.err = r.heatmapsOf(ctx, inspected)
	}
	return s
}

// linked reads links and the rows that they name, by kind and id; inspected are the ids of inspections among them.
func (r *Reader) linked(ctx context.Context, from, to int64) (links []linkRow, rows map[[2]int64][]any, inspected []int64, err error) {
	if links, err = r.links(ctx, from, to); err != nil {
		return nil, nil, nil, err
	}
	named := make([][]int64, len(chained)+1) // ids by kind
	for _, l := range links {
		if l.kind >= 1 && int(l.kind) <= len(chained) {
			named[l.kind] = append(named[l.kind], l.row)
		}
	}
	rows = map[[2]int64][]any{}
	for _, t := range chained {
		if err := r.chainRows(ctx, t, named[t.kind], rows); err != nil {
			return nil, nil, nil, err
		}
	}
	return links, rows, named[inspections.kind], nil
}

func (r *Reader) links(ctx context.Context, from, to int64) (links []linkRow, err error) {
	found, err := r.db.QueryContext(ctx, `SELECT n, kind, row, hash FROM link WHERE n BETWEEN ? AND ? ORDER BY n`, from, to)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	for found.Next() {
		var l linkRow
		if err := found.Scan(&l.n, &l.kind, &l.row, &l.hash); err != nil {
			return nil, err
		}
		links = append(links, l)
	}
	return links, found.Err()
}

// byName runs a query on the rows that links name. A link may name any row, so each is looked up by its id.
func (r *Reader) byName(ctx context.Context, query string, ids []int64) (*sql.Rows, error) {
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	return r.db.QueryContext(ctx, query, string(list))
}

// chainRows reads rows of a table as the canonical form wants their values.
func (r *Reader) chainRows(ctx context.Context, t table, ids []int64, into map[[2]int64][]any) error {
	if len(ids) == 0 {
		return nil
	}
	found, err := r.byName(ctx, fmt.Sprintf(`SELECT t.id, t.%s FROM json_each(?) j CROSS JOIN %s t WHERE t.id = j.value`, strings.Join(t.columns, ", t."), t.name), ids)
	if err != nil {
		return err
	}
	defer found.Close()
	targets := make([]any, len(t.columns)+1)
	for found.Next() {
		var id int64
		values := make([]any, len(t.columns))
		targets[0] = &id
		for i := range values {
			targets[i+1] = &values[i]
		}
		if err := found.Scan(targets...); err != nil {
			return err
		}
		into[[2]int64{t.kind, id}] = values
	}
	return found.Err()
}

// heatmapsOf reads the heatmaps of inspections, and what is said of them.
func (r *Reader) heatmapsOf(ctx context.Context, ids []int64) (maps []foundMap, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	found, err := r.byName(ctx, `SELECT i.id, coalesce(i.map, l.map), h.width, h.height, h.lo, h.hi, h.cells
		FROM json_each(?) j CROSS JOIN inspection i ON i.id = j.value
		LEFT JOIN late l ON l.inspection_id = i.id LEFT JOIN heatmap h ON h.inspection_id = i.id`, ids)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var cells sql.RawBytes
	for found.Next() {
		var m foundMap
		var width, height sql.NullInt64
		var lo, hi sql.NullFloat64
		if err := found.Scan(&m.id, &m.want, &width, &height, &lo, &hi, &cells); err != nil {
			return nil, err
		}
		if m.there = width.Valid; m.there {
			g := grid{width: width.Int64, height: height.Int64, lo: lo.Float64, hi: hi.Float64, cells: cells}
			m.made, _ = g.hash().([]byte)
		}
		maps = append(maps, m)
	}
	return maps, found.Err()
}
