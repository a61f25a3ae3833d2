package inspect

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"linectl/internal/hint"
	"linectl/internal/inspect/calibrate"
	"linectl/internal/inspect/recipe"
)

// Wish says what a threshold is to be: a score, or the one that rejects so many good parts. The review band
// below it stays as it was asked for where neither of its fields is set.
type Wish struct {
	Value        float64 // the score, if FalseRejects is 0
	FalseRejects float64 // in 10,000 good parts

	ReviewFrom   *float64 // the score; 0 is no review
	ReviewTarget float64  // good parts in 10,000 that are rejected or reviewed
}

// Limit is a threshold of a recipe and the scores of the good pictures behind it.
type Limit struct {
	Zone      string // "" for the whole picture, or for what lies in no zone
	Threshold recipe.Threshold
	Scores    []float64 // while they were held out, in the order of the recipe's pictures
	Groups    []int
}

// Limits gives the thresholds of a recipe: the whole's, or that of what lies in no zone and those of zones.
func Limits(r *recipe.Recipe) ([]Limit, error) {
	scores, groups := make([]float64, len(r.Pictures)), make([]int, len(r.Pictures))
	for i, p := range r.Pictures {
		scores[i], groups[i] = p.Score, p.Group
	}
	if len(r.Zones) == 0 {
		return []Limit{{Threshold: r.Threshold, Scores: scores, Groups: groups}}, nil
	}
	if len(r.Pictures) == 0 || len(r.Pictures[0].Map.Cells) == 0 {
		return nil, hint.New(hint.Failure, fmt.Errorf("recipe %s@%d keeps no maps of its held-out pictures, which zones need", r.Name, r.Version), "train it again; recipes of this format keep them")
	}
	m := r.Pictures[0].Map
	j, err := newJudge(r.Manifest, m.Width, m.Height, nil)
	if err != nil {
		return nil, hint.New(hint.Usage, err, "")
	}
	var limits []Limit
	for _, l := range j.limits {
		own := make([]float64, len(r.Pictures))
		for i, p := range r.Pictures {
			own[i] = j.score(p.Map, l.place)
		}
		limits = append(limits, Limit{l.zone, l.Threshold, own, groups})
	}
	return limits, nil
}

// LimitOf gives the threshold of a zone, "" being the whole or what lies in no zone.
func LimitOf(r *recipe.Recipe, zone string) (Limit, error) {
	limits, err := Limits(r)
	if err != nil {
		return Limit{}, err
	}
	var names []string
	for _, l := range limits {
		if l.Zone == zone {
			return l, nil
		}
		names = append(names, fmt.Sprintf("%q", l.Zone))
	}
	return Limit{}, hint.New(hint.Usage, fmt.Errorf("recipe %s@%d has no threshold for the zone %q", r.Name, r.Version, zone), "it has thresholds for: "+strings.Join(names, ", "))
}

// Wished is the threshold that a wish comes to, with its promise.
func (l Limit) Wished(w Wish) (recipe.Threshold, error) {
	if w.FalseRejects == 0 && (!(w.Value > 0) || w.Value > 1e30) {
		return l.Threshold, hint.New(hint.Usage, fmt.Errorf("%g cannot be a threshold; it must be a positive number", w.Value), "")
	}
	switch {
	case w.ReviewFrom != nil:
		l.Threshold.Review, l.Threshold.ReviewTarget = *w.ReviewFrom, 0
	case w.ReviewTarget != 0:
		l.Threshold.ReviewTarget = w.ReviewTarget
	}
	t, err := l.set(w.FalseRejects, w.Value)
	if err != nil {
		return t, hint.New(hint.Usage, err, "")
	}
	if t.Review != 0 && !(t.Review > 0 && t.Review < t.Value) {
		return t, hint.New(hint.Usage, fmt.Errorf("review would begin at %g, which is not below the threshold %g", t.Review, t.Value), "--review-from 0 does without; or give another one")
	}
	return t, nil
}

// set is the threshold for so many false rejects in 10,000, or, where that is 0, at a score. A review band that was
// asked for as a rate is set as well; one that was given as a score stays.
func (l Limit) set(falseRejects, value float64) (recipe.Threshold, error) {
	t := l.Threshold
	var err error
	if falseRejects != 0 {
		t.Threshold, err = calibrate.Set(l.Scores, l.Groups, falseRejects)
	} else {
		t.Threshold, err = calibrate.At(l.Scores, l.Groups, value)
	}
	if err != nil || t.ReviewTarget == 0 {
		return t, err
	}
	review, err := calibrate.Set(l.Scores, l.Groups, t.ReviewTarget)
	if err != nil {
		return t, fmt.Errorf("review: %w", err)
	}
	t.Review = review.Value
	return t, nil
}

// SetThreshold derives a version with another threshold. It is not saved.
func SetThreshold(r *recipe.Recipe, zone string, w Wish, by recipe.Change) (*recipe.Recipe, error) {
	l, err := LimitOf(r, zone)
	if err != nil {
		return nil, err
	}
	t, err := l.Wished(w)
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("threshold %.6g, before %.6g", t.Value, l.Threshold.Value)
	if zone != "" {
		what = "zone " + zone + ": " + what
	}
	draft := derive(r, what, by)
	put(&draft.Manifest, zone, t)
	return draft, nil
}

// derive begins a version that comes from another one.
func derive(r *recipe.Recipe, what string, by recipe.Change) *recipe.Recipe {
	draft := *r
	draft.Parent = r.Version
	by.At, by.What = time.Now().UTC().Truncate(time.Second), what
	draft.History = append(slices.Clone(r.History), by)
	draft.Zones = slices.Clone(r.Zones)
	return &draft
}

// put writes the threshold of a zone.
func put(m *recipe.Manifest, zone string, t recipe.Threshold) {
	if zone == "" {
		m.Threshold = t
	}
	for i := range m.Zones {
		if m.Zones[i].Name == zone {
			m.Zones[i].Threshold = t
		}
	}
}

// AddZone derives a version with one more zone. Its threshold and the others are set anew from the maps of the
// held-out pictures: for as many false rejects as before, or as few as the pictures can speak for in that
// zone. A threshold that somebody chose as a score stays and gets a new promise, or is refused where scores mean something else
// with the zone (checkUnits). It is not saved.
func AddZone(r *recipe.Recipe, z recipe.Zone, by recipe.Change) (*recipe.Recipe, error) {
	if err := z.CheckShape(); err != nil {
		return nil, hint.New(hint.Usage, err, "corners are 'x,y' in shares of the picture's width and height: --polygon \"0,0 0.5,0 0.5,1\"")
	}
	if zoneAt(r, z.Name) >= 0 {
		return nil, hint.New(hint.Usage, fmt.Errorf("recipe %s@%d has a zone %s already", r.Name, r.Version, z.Name), "remove it first, or name this one otherwise")
	}
	what := "zone " + z.Name + " added"
	if z.Ignore {
		what += ", not judged"
	}
	draft := derive(r, what, by)
	z.Threshold = recipe.Threshold{}
	draft.Zones = append(draft.Zones, z)
	if err := checkUnits(r, draft); err != nil {
		return nil, err
	}
	return draft, recalibrate(draft)
}

// RemoveZone derives a version without a zone; the other thresholds are set anew. It is not saved.
func RemoveZone(r *recipe.Recipe, name string, by recipe.Change) (*recipe.Recipe, error) {
	at := zoneAt(r, name)
	if at < 0 {
		return nil, hint.New(hint.Usage, fmt.Errorf("recipe %s@%d has no zone %q", r.Name, r.Version, name), "'linectl recipe zone list "+r.Name+"' shows them")
	}
	draft := derive(r, "zone "+name+" removed", by)
	draft.Zones = slices.Delete(draft.Zones, at, at+1)
	if err := checkUnits(r, draft); err != nil {
		return nil, err
	}
	return draft, recalibrate(draft)
}

// checkUnits refuses the first zone, and to be without the last, where a threshold was chosen as a score: with the appearance
// of the whole picture a score means something else than without, and zones are judged without.
func checkUnits(r, draft *recipe.Recipe) error {
	given := r.Threshold.Target == 0 || r.Threshold.Review != 0 && r.Threshold.ReviewTarget == 0
	if !r.Method.WithAppearance() || (len(r.Zones) == 0) == (len(draft.Zones) == 0) || !given {
		return nil
	}
	return hint.New(hint.Usage, fmt.Errorf("the threshold %.6g of %s@%d, or its review, was chosen as a score, and a score means something else without zones, where the appearance of the whole picture counts, than with them", r.Threshold.Value, r.Name, r.Version),
		"set it by --false-rejects, and --review-from 0 or --review, with 'linectl threshold "+fmt.Sprintf("%s@%d", r.Name, r.Version)+"' first")
}

func zoneAt(r *recipe.Recipe, name string) int {
	return slices.IndexFunc(r.Zones, func(z recipe.Zone) bool { return z.Name == name })
}

// recalibrate is Calibrate for targets that each zone's pictures can speak for: those that they cannot are raised. A
// zone without a threshold takes the whole's targets.
func recalibrate(r *recipe.Recipe) error {
	limits, err := Limits(r)
	if err != nil {
		return err
	}
	if len(limits) == 0 {
		return errors.New("nothing is left to judge")
	}
	for _, l := range limits {
		t := l.Threshold
		if t.Value != 0 && t.Target == 0 {
			continue // somebody chose it as a score
		}
		n, err := calibrate.Effective(l.Scores, l.Groups)
		if err != nil {
			return hint.New(hint.Failure, l.named(err), "")
		}
		if t.Value == 0 && t.Target == 0 {
			t.Target, t.ReviewTarget = r.Threshold.Target, r.Threshold.ReviewTarget
		}
		if t.Target == 0 {
			t.Target = calibrate.DefaultTarget(n)
		}
		t.Target = max(t.Target, math.Ceil(calibrate.Least(n)))
		if t.ReviewTarget != 0 && t.ReviewTarget <= t.Target { // nothing is left between the two
			t.ReviewTarget, t.Review = 0, 0
		}
		put(&r.Manifest, l.Zone, t)
	}
	return Calibrate(r)
}

// Calibrate sets every threshold of a recipe anew, from the scores and maps that its pictures had while they were held
// out: for what it was set for, or, where somebody chose it as a score, with a new promise. Nothing is learned again.
func Calibrate(r *recipe.Recipe) error {
	limits, err := Limits(r)
	if err != nil {
		return err
	}
	for _, l := range limits {
		t, err := l.set(l.Threshold.Target, l.Threshold.Value)
		if err != nil {
			return l.named(err)
		}
		if t.Review >= t.Value { // no score lies between the two
			t.Review = 0
		}
		put(&r.Manifest, l.Zone, t)
	}
	return nil
}

// named says which zone an error is of.
func (l Limit) named(err error) error {
	if l.Zone == "" {
		return err
	}
	return hint.New(hint.KindOf(err), fmt.Errorf("zone %s: %w", l.Zone, err), hint.Of(err))
}
