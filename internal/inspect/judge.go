package inspect

import (
	"errors"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/floats"

	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/recipe"
	"linectl/internal/inspect/smooth"
	"linectl/internal/part"
)

// judge holds a map of distances against the thresholds of zones. Not for concurrent use.
type judge struct {
	places  []int // the zone of each cell
	ignored []int // the cells that are not judged
	limits  []limit
	score   func(m part.Map, place int) float64
}

// limit is a zone, or what lies in none, and its threshold.
type limit struct {
	zone  string // "" for what lies in none
	place int
	recipe.Threshold
}

// judgement is a limit and the score that it was held against.
type judgement struct {
	limit
	score float64
}

// due tells whether a person is to look at the part: the band below the threshold is reached.
func (j judgement) due() bool { return j.Review > 0 && j.score >= j.Review }

// newJudge makes the judge of a recipe's zones for grids of a size.
//
// The score of a zone is the recipe's kind of score over the cells of the zone alone, without the appearance of the whole picture. exact, if it is not nil, gives the distance of a cell that a map only holds roughly.
func newJudge(m recipe.Manifest, width, height int, exact func(cell int) float64) (*judge, error) {
	j := &judge{places: recipe.Places(m.Zones, width, height)}
	if slices.Contains(j.places, recipe.Rest) {
		j.limits = append(j.limits, limit{place: recipe.Rest, Threshold: m.Threshold})
	}
	for i, z := range m.Zones {
		if !slices.Contains(j.places, i) {
			return nil, fmt.Errorf("zone %s has no cell of the grid of %dx%d for itself: it is too small, or later zones cover it", z.Name, width, height)
		}
		if !z.Ignore {
			j.limits = append(j.limits, limit{z.Name, i, z.Threshold})
		}
	}
	for cell, place := range j.places {
		if place != recipe.Rest && m.Zones[place].Ignore {
			j.ignored = append(j.ignored, cell)
		}
	}
	if len(j.limits) == 0 {
		return nil, errors.New("zones ignore the whole picture: nothing is left to judge")
	}
	switch m.Method.Score {
	case patchcore.Max, patchcore.MaxAppearance:
		j.score = j.greatest(1, exact)
	case patchcore.MeanTopK:
		j.score = j.greatest(m.Method.TopK, exact)
	case patchcore.MaxMean:
		j.score = func(m part.Map, place int) float64 {
			return smooth.MaxMean(m.Cells, m.Width, m.Height, func(cell int) bool { return j.places[cell] == place })
		}
	case recipe.MaxSmoothed:
		smoother, err := smooth.New(smooth.Bilinear, width, height, m.Input.Width, m.Input.Height)
		if err != nil {
			return nil, err
		}
		j.score = j.smoothed(smoother)
	default:
		return nil, fmt.Errorf("zones do not go with the score %q: its weights are not kept in maps; train with --score %s, %s, %s or %s",
			m.Method.Score, patchcore.MaxAppearance, patchcore.Max, patchcore.MaxMean, patchcore.MeanTopK)
	}
	return j, nil
}

// greatest scores by the mean of a zone's k greatest distances, or of all where it has fewer cells. Where a map only holds them roughly, the
// greatest are computed until no other can come before them, as for the whole picture.
func (j *judge) greatest(k int, exact func(cell int) float64) func(part.Map, int) float64 {
	most := k
	if exact != nil {
		most = max(k, patchcore.MostExact)
	}
	top, found := make([]int, 0, most+1), make([]float64, 0, most+1) // falling
	return func(m part.Map, place int) float64 {
		top, found = top[:0], found[:0]
		for i, d := range m.Cells {
			if j.places[i] != place || len(top) == most && d <= m.Cells[top[most-1]] {
				continue
			}
			at := len(top)
			for at > 0 && d > m.Cells[top[at-1]] {
				at--
			}
			top = slices.Insert(top, at, i)[:min(len(top)+1, most)]
		}
		for _, i := range top {
			d := float64(m.Cells[i])
			if exact != nil {
				if len(found) >= k && d <= found[k-1] {
					break
				}
				d = exact(i)
			}
			at := len(found)
			for at > 0 && d > found[at-1] {
				at--
			}
			found = slices.Insert(found, at, d)
		}
		found = found[:min(k, len(found))]
		return floats.Sum(found) / float64(len(found))
	}
}

// smoothed scores by the greatest value of the smoothed map; what lies outside the zone counts as 0.
func (j *judge) smoothed(s *smooth.Smoother) func(part.Map, int) float64 {
	masked := make([]float32, len(j.places))
	return func(m part.Map, place int) float64 {
		alone(masked, m.Cells, j.places, place)
		return float64(slices.Max(s.Map(masked)))
	}
}

// alone copies the cells of one place; others are 0.
func alone(to, cells []float32, places []int, place int) {
	for cell, d := range cells {
		to[cell] = 0
		if places[cell] == place {
			to[cell] = d
		}
	}
}

// decide names the limit of which the part reaches the greatest share: of all thresholds, or, where it is below all of
// them, of those whose review is due, if any is.
func (j *judge) decide(m part.Map) judgement {
	var worst, due judgement
	for _, l := range j.limits {
		now := judgement{l, j.score(m, l.place)}
		if worst.Value == 0 || now.above(worst) {
			worst = now
		}
		if now.due() && (due.Value == 0 || now.above(due)) {
			due = now
		}
	}
	if worst.score < worst.Value && due.Value != 0 {
		return due
	}
	return worst
}

// hide takes what is not judged out of a map that people look at.
func (j *judge) hide(m part.Map) {
	for _, cell := range j.ignored {
		m.Cells[cell] = 0
	}
}

// above tells whether j reaches more of its threshold than k of its own.
func (j judgement) above(k judgement) bool { return j.score*k.Value > k.score*j.Value }
