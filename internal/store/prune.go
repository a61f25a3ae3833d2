package store

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"time"
)

// Pruning is what retention has removed, or would remove.
type Pruning struct {
	Passes, Samples, Rejects int64 // pictures removed, by what they show
	Bytes                    int64 // freed
	Orphans                  int64 // files without a row, moved to the folder of orphans
	OrphansKept, OrphanBytes int64 // all that are in it
	Kept                     int64 // pictures that stay
	KeptBytes                int64
	Protected                int64 // of them: reviewed, held or recovered
	Over                     int64 // bytes above the quota that must not be removed
}

// pruneSlice is how many pictures one transaction removes: the writer is not held up.
const pruneSlice = 100

// Prune removes pictures as the config says. A dry run only counts. Rows stay: a removed picture has a
// row in removal. Of the value of pictures see docs/records.md.
func (p *Pen) Prune(ctx context.Context, dry bool) (Pruning, error) {
	return prune(ctx, p.Reader, p.config, p.commit, dry)
}

// kept is a picture that is there, with what decides over it.
type kept struct {
	id, part, bytes int64
	path, sum       string
	verdict         string
	guarded         bool
}

func prune(ctx context.Context, r *Reader, c Config, commit commit, dry bool) (Pruning, error) {
	var result Pruning
	total, err := r.pictureBytes(ctx)
	if err != nil {
		return result, err
	}
	oldPass, err := r.frameBefore(ctx, c.PassDays)
	if err != nil {
		return result, err
	}
	oldReject, err := r.frameBefore(ctx, c.RejectDays)
	if err != nil {
		return result, err
	}
	over := func() bool { return c.Quota > 0 && total > int64(c.Quota) }

	// By age, then to get below the quota: passes, and last the samples of passes. Rejects never make room.
	rounds := []func(k kept) (why string){
		func(k kept) string {
			sample := k.verdict == "pass" && c.sampled(k.part)
			if k.verdict == "pass" && !sample && k.id <= oldPass || (k.verdict == "reject" || sample) && k.id <= oldReject {
				return "age"
			}
			return ""
		},
		func(k kept) string {
			if over() && k.verdict == "pass" && !c.sampled(k.part) {
				return "quota"
			}
			return ""
		},
		func(k kept) string {
			if over() && k.verdict == "pass" {
				return "quota"
			}
			return ""
		},
	}
	gone := map[int64]bool{} // in a dry run nothing else remembers
	for n, why := range rounds {
		if n > 0 && !over() {
			break
		}
		for after := int64(0); ; {
			slice, err := r.keptAfter(ctx, after)
			if err != nil {
				return result, err
			}
			if len(slice) == 0 {
				break
			}
			after = slice[len(slice)-1].id
			var remove []kept
			var reason string
			for _, k := range slice {
				if gone[k.id] || k.guarded {
					continue
				}
				w := why(k)
				if w == "" {
					continue
				}
				reason = w
				gone[k.id] = true
				remove = append(remove, k)
				total -= k.bytes
			}
			if len(remove) > 0 && !dry {
				var spared int64
				if remove, spared, err = removePictures(ctx, commit, c.Pictures, remove, reason); err != nil {
					return result, err
				}
				total += spared
			}
			for _, k := range remove {
				result.count(k, c)
			}
		}
	}
	if err := r.sweep(ctx, c.Pictures, commit, dry, &result); err != nil {
		return result, err
	}
	err = r.db.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(`+guard+`), 0) FROM frame f JOIN inspection i ON i.id = f.inspection_id
		WHERE f.id NOT IN (SELECT frame_id FROM removal)`).Scan(&result.Kept, &result.Protected)
	if err != nil {
		return result, r.explain(err)
	}
	if dry {
		result.Kept -= int64(len(gone))
	}
	result.KeptBytes = total
	if over() {
		result.Over = total - int64(c.Quota)
	}
	return result, nil
}

func (p *Pruning) count(k kept, c Config) {
	p.Bytes += k.bytes
	switch {
	case k.verdict == "reject":
		p.Rejects++
	case c.sampled(k.part):
		p.Samples++
	default:
		p.Passes++
	}
}

// Removed is the number of pictures.
func (p Pruning) Removed() int64 { return p.Passes + p.Samples + p.Rejects }

// sampled tells which passes are kept as long as rejects.
func (c Config) sampled(part int64) bool { return c.Sample > 0 && part%int64(c.Sample) == 0 }

// guard is true for a part whose pictures are never removed: somebody looked at it or asked to keep
// it, or it is all that is left of a crash.
const guard = `(i.recovered = 1 OR EXISTS (SELECT 1 FROM review WHERE inspection_id = i.id)
	OR coalesce((SELECT held FROM hold WHERE lot = i.lot ORDER BY id DESC LIMIT 1), 0))`

// worth is what a picture shows. In shadow every part is told as a reject: there the inspection's own verdict counts.
const worth = `CASE WHEN x.inspection_id IS NULL OR x.reason = 'shadow' AND i.verdict = 'pass' THEN 'pass' ELSE 'reject' END`

func (r *Reader) keptAfter(ctx context.Context, after int64) ([]kept, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT f.id, f.inspection_id, f.bytes, f.path, f.sha256, `+worth+`, `+guard+`
		FROM frame f JOIN inspection i ON i.id = f.inspection_id LEFT JOIN reject x ON x.inspection_id = f.inspection_id
		WHERE f.id > ? AND NOT EXISTS (SELECT 1 FROM removal WHERE frame_id = f.id) ORDER BY f.id LIMIT ?`, after, pruneSlice)
	if err != nil {
		return nil, r.explain(err)
	}
	defer rows.Close()
	var slice []kept
	for rows.Next() {
		var k kept
		if err := rows.Scan(&k.id, &k.part, &k.bytes, &k.path, &k.sum, &k.verdict, &k.guarded); err != nil {
			return nil, err
		}
		slice = append(slice, k)
	}
	return slice, rows.Err()
}

func (r *Reader) pictureBytes(ctx context.Context) (total int64, err error) {
	err = r.db.QueryRowContext(ctx, `SELECT coalesce(sum(bytes), 0) FROM frame WHERE id NOT IN (SELECT frame_id FROM removal)`).Scan(&total)
	return total, r.explain(err)
}

// frameBefore is the newest frame that is older than so many days of production; 0 for none.
func (r *Reader) frameBefore(ctx context.Context, days int) (id int64, err error) {
	if days <= 0 {
		return 0, nil
	}
	began, err := r.productionDays(ctx)
	if err != nil || days > len(began) {
		return 0, err
	}
	err = r.db.QueryRowContext(ctx, `SELECT row FROM link WHERE kind = ? AND n <= ? ORDER BY n DESC LIMIT 1`, frames.kind, began[len(began)-days]).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return id, r.explain(err)
}

// removePictures notes the removal and then removes: a crash between leaves a file that the next run
// sweeps, never a row that lies. It leaves what somebody asked to keep meanwhile, of which it tells the bytes, and what
// another has removed.
func removePictures(ctx context.Context, commit commit, folder string, remove []kept, why string) (removed []kept, spared int64, err error) {
	at := time.Now()
	err = commit(ctx, "removal of pictures", func(tx *ledger) error {
		removed, spared = nil, 0 // it may be called again
		for _, k := range remove {
			var guarded, gone bool
			if err := tx.QueryRow(`SELECT `+guard+`, EXISTS (SELECT 1 FROM removal WHERE frame_id = ?1) FROM inspection i WHERE i.id = ?2`, k.id, k.part).Scan(&guarded, &gone); err != nil {
				return err
			}
			switch {
			case gone:
				continue
			case guarded:
				spared += k.bytes
				continue
			}
			if _, err := tx.add(removals, at.UnixMicro(), k.id, why); err != nil {
				return err
			}
			removed = append(removed, k)
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	for _, k := range removed {
		if !filepath.IsLocal(k.path) {
			continue // somebody changed the row; verify says so
		}
		if err := removeIfThere(filepath.Join(folder, k.path)); err != nil {
			return removed, spared, err
		}
	}
	return removed, spared, nil
}

// retain removes pictures once an hour while the daemon runs.
func (s *Store) retain(ctx context.Context) {
	ticker := time.NewTicker(pruneEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		result, err := prune(ctx, s.Reader, s.config, s.commit, false)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.log.Error("pictures could not be removed", "error", err)
		case result.Removed() > 0 || result.Orphans > 0:
			s.log.Info("pictures removed by retention", "passes", result.Passes, "samples", result.Samples, "rejects", result.Rejects, "bytes", result.Bytes, "moved to "+orphans, result.Orphans)
		}
		if result.Over > 0 {
			s.log.Error("the pictures that must be kept exceed store.quota", "bytes", result.Over)
		}
	}
}

const pruneEvery = time.Hour
