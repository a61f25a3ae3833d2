package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// countedParts is about how many parts are counted by one query: no result set stays open for long.
const countedParts = 20_000

// counts compares slot and reject, which answers and retention go by, with the parts that they are worked out from. Each
// query sees one moment of the record, and a part never leaves its quarter of an hour: a running line changes nothing.
func (v *verifier) counts(ctx context.Context) error {
	type found struct {
		from     int64
		problems []string
	}
	var mu sync.Mutex
	var all []found
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(readAhead)
	for from, last := int64(math.MinInt64), false; !last; {
		to, err := v.reader.quartersFrom(within, from)
		if err != nil {
			return errors.Join(err, group.Wait())
		}
		first := from
		group.Go(func() error {
			problems, err := v.reader.miscounted(within, first, to)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, found{first, problems})
			return err
		})
		from, last = to+1, to == math.MaxInt64
	}
	if err := group.Wait(); err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b found) int { return cmp.Compare(a.from, b.from) })
	for _, f := range all {
		for _, problem := range f.problems {
			v.wrong("%s", problem)
		}
	}
	stray, err := v.reader.scanIDs(ctx, `SELECT inspection_id FROM reject WHERE inspection_id NOT IN (SELECT id FROM inspection) ORDER BY 1`)
	for _, id := range stray {
		v.wrong("reject %d: added: there is no such part", id)
	}
	return err
}

// quartersFrom is the last instant of the quarters of an hour that hold about countedParts parts from an instant on.
func (r *Reader) quartersFrom(ctx context.Context, from int64) (to int64, err error) {
	err = r.db.QueryRowContext(ctx, `SELECT at FROM inspection WHERE at >= ? ORDER BY at LIMIT 1 OFFSET ?`, from, countedParts).Scan(&to)
	if errors.Is(err, sql.ErrNoRows) {
		return math.MaxInt64, nil
	}
	if begin := quarter(to); begin > from {
		return begin - 1, err
	}
	return max(to, quarter(to)+slotLength.Microseconds()-1), err
}

// misplaced is true for a part, p, that reject, x, lists and should not, or the other way round, or lists as something else.
const misplaced = `((p.verdict = 'reject') <> (x.inspection_id IS NOT NULL) OR x.lot <> p.lot OR x.reason <> p.reason)`

// miscounted tells where slots and rejects between two instants differ from the parts that were seen there. Sums of
// measured numbers may differ by what rounding leaves, as parts are added and taken out one by one.
func (r *Reader) miscounted(ctx context.Context, from, to int64) (problems []string, err error) {
	differs := `total(parts) <> total(counted) OR total(scored) <> 0 OR total(measured) <> 0`
	for _, sum := range []string{"score", "score2", "brightness", "sharpness"} {
		differs += fmt.Sprintf(` OR abs(total(%[1]s)) > 1e-6 * (1 + total(abs(%[1]s)))`, sum)
	}
	rows, err := r.db.QueryContext(ctx, `SELECT at, lot, reason, decided, sum(parts), sum(counted), total(misplaced) > 0, `+differs+` AS differs FROM (
			SELECT i.at - (i.at % ?3 + ?3) % ?3 AS at, i.station, coalesce(i.recipe_id, 0) AS recipe, i.lot, p.reason, i.reason AS decided,
				count(*) AS parts, 0 AS counted, count(i.score) AS scored, total(i.score) AS score, total(i.score * i.score) AS score2,
				count(i.brightness) AS measured, total(i.brightness) AS brightness, total(i.sharpness) AS sharpness, total(`+misplaced+`) AS misplaced
			FROM inspection i JOIN part p ON p.id = i.id LEFT JOIN reject x ON x.inspection_id = i.id
			WHERE i.at BETWEEN ?1 AND ?2 GROUP BY 1, 2, 3, 4, 5, 6
			UNION ALL
			SELECT at, station, recipe_id, lot, reason, decided, 0, parts, -scored, -score, -score2, -measured, -brightness, -sharpness, 0
			FROM slot WHERE at BETWEEN ?1 AND ?2
		) GROUP BY at, station, recipe, lot, reason, decided HAVING differs OR total(misplaced) > 0`, from, to, slotLength.Microseconds())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	listed := false
	for rows.Next() {
		var at, parts, counted int64
		var lot, reason, decided string
		var wrong, differs bool
		if err := rows.Scan(&at, &lot, &reason, &decided, &parts, &counted, &wrong, &differs); err != nil {
			return nil, err
		}
		listed = listed || wrong
		slot := fmt.Sprintf("slot %s, lot %q, reason %q, decided %q: ", instant(at).Format(time.RFC3339), lot, reason, decided)
		switch {
		case parts != counted:
			problems = append(problems, slot+fmt.Sprintf("counts %d parts where the rows have %d", counted, parts))
		case differs:
			problems = append(problems, slot+"its sums are not those of the rows")
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || !listed {
		return problems, err
	}
	wrong, err := r.misplaced(ctx, from, to)
	return append(problems, wrong...), err
}

// misplaced names the rejects between two instants that are not as they should be.
func (r *Reader) misplaced(ctx context.Context, from, to int64) (problems []string, err error) {
	rows, err := r.db.QueryContext(ctx, `SELECT p.id, CASE WHEN x.inspection_id IS NULL THEN 'cut out' WHEN p.verdict <> 'reject' THEN 'added' ELSE 'changed' END
		FROM part p LEFT JOIN reject x ON x.inspection_id = p.id WHERE p.at BETWEEN ? AND ? AND `+misplaced+` ORDER BY p.id`, from, to)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var what string
		if err := rows.Scan(&id, &what); err != nil {
			return nil, err
		}
		problems = append(problems, fmt.Sprintf("reject %d: %s", id, what))
	}
	return problems, rows.Err()
}
