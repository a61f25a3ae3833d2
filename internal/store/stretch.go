package store

import (
	"cmp"
	"context"
	"encoding/json"

	"golang.org/x/sync/errgroup"
)

// stretch is the ids from one to another, or those of them that are listed.
type stretch struct {
	from, to int64
	list     string // as JSON; "" for all
}

// rows are those of a table, t, with the ids of a stretch.
func (s stretch) rows(table string) (from string, args []any) {
	if s.list == "" {
		return table + ` t WHERE t.inspection_id BETWEEN ? AND ?`, []any{s.from, s.to}
	}
	return `json_each(?) j CROSS JOIN ` + table + ` t WHERE t.inspection_id = j.value`, []any{s.list}
}

const (
	stretchLength = 5000        // ids; no result set stays open for long
	readAhead     = readers - 1 // stretches at the same time: more than there are cores, as a disk answers many questions as fast as one
)

// stretches has do look at the parts that match, the newest first, at some stretches at the same time.
func (r *Reader) stretches(ctx context.Context, f Filter, progress func(done, total int64), do func(context.Context, stretch) error) error {
	var newest int64
	if err := r.db.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) FROM inspection`).Scan(&newest); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readAhead)
	err := r.split(ctx, f, newest, func(s stretch) error {
		group.Go(func() error { return do(ctx, s) })
		if progress != nil {
			progress(newest+1-s.from, newest)
		}
		return ctx.Err()
	})
	return cmp.Or(group.Wait(), err)
}

// split finds the stretches of the parts that match.
func (r *Reader) split(ctx context.Context, f Filter, newest int64, found func(stretch) error) error {
	if f.Before > 0 {
		newest = min(newest, f.Before-1)
	}
	f.Before, f.Limit = 0, 0
	if f == (Filter{}) {
		for to := newest; to > 0; to -= stretchLength {
			if err := found(stretch{from: max(to-stretchLength+1, 1), to: to}); err != nil {
				return err
			}
		}
		return nil
	}
	f, ok, err := r.narrow(ctx, f, usual)
	if err != nil || !ok {
		return err
	}
	for f.Before = newest + 1; ; {
		query, args := f.ids()
		ids, err := r.scanIDs(ctx, query, append(args, stretchLength)...)
		if err != nil || len(ids) == 0 {
			return err
		}
		list, err := json.Marshal(ids)
		if err != nil {
			return err
		}
		f.Before = ids[len(ids)-1]
		if err := found(stretch{f.Before, ids[0], string(list)}); err != nil || len(ids) < stretchLength {
			return err
		}
	}
}
