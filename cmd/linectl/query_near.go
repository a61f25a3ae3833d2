package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"linectl/internal/hint"
)

// alikePart is a part that looks like another one, in the JSON form; its keys are a contract.
type alikePart struct {
	foundPart
	Likeness float64 `json:"likeness"`
}

func (p *program) queryNear(ctx context.Context, q question, id int64) error {
	f, err := q.filter(time.Now())
	if err != nil {
		return err
	}
	reader, err := p.openReader(ctx)
	if err != nil {
		return err
	}
	defer reader.Close()
	found, err := reader.Near(ctx, id, f)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return hint.New(hint.NoMatch, errors.New("no part that matches has a heatmap to compare"), "widen --since, or leave a condition out")
	}
	alike := make([]alikePart, len(found))
	rows := make([][]string, len(found))
	for i, a := range found {
		alike[i] = alikePart{newFoundPart(a.Part), a.Likeness}
		rows[i] = append([]string{fmt.Sprintf("%.3f", a.Likeness)}, alike[i].row(p.output == "table")...)
	}
	return p.print(alike, append([]string{"likeness"}, queryHeader...), rows)
}
