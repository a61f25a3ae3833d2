package inspect

import (
	"fmt"

	"linectl/internal/inspect/calibrate"
	"linectl/internal/inspect/recipe"
)

// heldOut is the held-out scores of a recipe's pictures as a whole, and their groups.
func heldOut(r *recipe.Recipe) (scores []float64, groups []int) {
	for _, p := range r.Pictures {
		scores = append(scores, p.Score)
		groups = append(groups, p.Group)
	}
	return scores, groups
}

// Calibrate sets the thresholds of a recipe, the whole's and those of its zones, anew for their targets, from the
// scores and maps that its pictures had while they were held out. Nothing is learned again. A zone without a
// target takes that of the whole.
func Calibrate(r *recipe.Recipe) error {
	scores, groups := heldOut(r)
	if len(r.Zones) == 0 {
		return place(&r.Threshold, scores, groups)
	}
	if len(r.Pictures) == 0 || len(r.Pictures[0].Map.Cells) == 0 {
		return fmt.Errorf("recipe %s keeps no maps of held-out pictures, which zones are calibrated by; train it again", r.Name)
	}
	m := r.Pictures[0].Map
	j, err := newJudge(r.Manifest, m.Width, m.Height, nil)
	if err != nil {
		return err
	}
	// The whole keeps a threshold even where zones cover all of the picture.
	if err := place(&r.Threshold, scores, groups); err != nil {
		return err
	}
	whole := r.Threshold
	for _, l := range j.limits {
		for i, p := range r.Pictures {
			scores[i] = j.score(p.Map, l.place)
		}
		t := &r.Threshold
		if l.place != recipe.Rest {
			t = &r.Zones[l.place].Threshold
			if t.Target == 0 {
				t.Target, t.ReviewTarget = whole.Target, whole.ReviewTarget
			}
		}
		if err := place(t, scores, groups); err != nil {
			if l.zone != "" {
				err = fmt.Errorf("zone %s: %w", l.zone, err)
			}
			return err
		}
	}
	return nil
}

// place sets a threshold and its review band for their targets.
func place(t *recipe.Threshold, scores []float64, groups []int) error {
	set, err := calibrate.Set(scores, groups, t.Target)
	if err != nil {
		return err
	}
	t.Threshold = set
	if t.ReviewTarget == 0 {
		t.Review = 0
		return nil
	}
	review, err := calibrate.Set(scores, groups, t.ReviewTarget)
	if err != nil {
		return fmt.Errorf("review: %w", err)
	}
	if t.Review = review.Value; t.Review >= t.Value {
		t.Review = 0 // no score lies between the two
	}
	return nil
}
