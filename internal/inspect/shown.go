package inspect

import (
	"slices"

	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/inspect/smooth"
	"linectl/internal/part"
)

// shower turns maps of patch distances into maps of what the score is made of. Where the score is of averaged or smoothed distances a single
// cell may lie far beyond the threshold of a part that passes, and a heatmap of cells would contradict the verdict. Not for
// concurrent use.
type shower func(part.Map) part.Map

// newShower makes that of a score for grids of a size, and of an input of the network; nil where cells are what the score is made of.
// Cells of different places are not averaged with one another.
func newShower(score string, width, height int, input picture.Size, places []int) (shower, error) {
	switch score {
	case patchcore.MaxMean:
		return func(m part.Map) part.Map {
			m.Cells = smooth.Means(m.Cells, m.Width, m.Height, places)
			return m
		}, nil
	case recipe.MaxSmoothed:
		smoother, err := smooth.New(smooth.Bilinear, width, height, input.Width, input.Height)
		if err != nil {
			return nil, err
		}
		apart := slices.Compact(slices.Sorted(slices.Values(places)))
		masked := make([]float32, len(places))
		return func(m part.Map) part.Map {
			shown := make([]float32, len(m.Cells))
			for _, place := range apart {
				alone(masked, m.Cells, places, place)
				for cell, v := range smoother.Greatest(masked) {
					if places[cell] == place {
						shown[cell] = v
					}
				}
			}
			m.Cells = shown
			return m
		}, nil
	}
	return nil, nil
}
