package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"linectl/internal/hint"
	"linectl/internal/inspect/heatmap"
	"linectl/internal/store"
)

// plotHeatmaps draws what the heatmaps of the parts come to: their mean, and the highest of each place, in units of the threshold.
func plotHeatmaps(ctx context.Context, reader *store.Reader, f store.SlotFilter, path string) error {
	wrong := func(err error, next string) error {
		return hint.New(hint.Usage, fmt.Errorf("--heatmap: %w", err), next)
	}
	if !strings.EqualFold(filepath.Ext(path), ".png") {
		return wrong(fmt.Errorf("%q is no .png", path), "name the file accordingly")
	}
	if f.Lot == "" && f.Since.IsZero() && f.Recipe == "" {
		return wrong(errors.New("every part of the record would be read"), "give --lot, --since or --recipe")
	}
	c, err := reader.Accumulate(ctx, store.Filter{Since: f.Since, Until: f.Until, Lot: f.Lot, Recipe: f.Recipe, Version: f.Version})
	if err != nil {
		return err
	}
	if c.Parts == 0 {
		return hint.New(hint.NoMatch, errors.New("--heatmap: no part that matches was scored"), "widen --since, or leave a condition out")
	}
	caption := fmt.Sprintf("%d parts", c.Parts)
	if c.Others > 0 {
		caption += fmt.Sprintf("; %d others have maps of another size", c.Others)
	}
	mean, err := heatmap.DrawScaled(c.Mean, "mean")
	if err != nil {
		return err
	}
	highest, err := heatmap.DrawTitled(c.Max, "highest", 1)
	if err != nil {
		return err
	}
	cells := []heatmap.Cell{{Picture: mean, Caption: caption}, {Picture: highest, Caption: caption}}
	sheet, err := heatmap.Sheet(cells, len(cells))
	if err != nil {
		return err
	}
	return writePNG(path, sheet)
}
