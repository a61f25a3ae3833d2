package store

import (
	"context"
	"fmt"
	"strings"
)

// Asked is what the PLC said with a part beside its names.
type Asked struct{ Recipe, UserData string }

// Asked tells what the PLC said with the rows of those ids, 500 at most.
func (r *Reader) Asked(ctx context.Context, ids []int64) (map[int64]Asked, error) {
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	rows, err := r.db.QueryContext(ctx, `SELECT id, recipe_asked, user_data FROM inspection
		WHERE id IN (`+strings.TrimSuffix(strings.Repeat("?, ", len(ids)), ", ")+`)`, args...)
	if err != nil {
		return nil, fmt.Errorf("read the record: %w", r.explain(err))
	}
	defer rows.Close()
	found := map[int64]Asked{}
	for rows.Next() {
		var id int64
		var a Asked
		if err := rows.Scan(&id, &a.Recipe, &a.UserData); err != nil {
			return nil, fmt.Errorf("read the record: %w", r.explain(err))
		}
		found[id] = a
	}
	return found, r.explain(rows.Err())
}
