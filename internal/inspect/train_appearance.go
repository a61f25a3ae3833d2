package inspect

import (
	"context"
	"errors"
	"slices"

	"linectl/internal/inspect/calibrate"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
)

// weigh adds the appearance to the scores of held-out pictures, so weighted as those that are kept ask for, and names the pictures that
// are unlike the rest by it. They stay: a few pictures vary too much as a whole to be left out for that.
func (t *trainer) weigh(ctx context.Context, g *gathered, l learner) (w patchcore.Weighing, err error) {
	p, ok := l.(*patchcoreLearner)
	if !ok {
		return w, errors.New("only a memory bank has an appearance beside it")
	}
	folds, out := make([]int, len(g.shots)), make([]bool, len(g.shots))
	for i, s := range g.shots {
		folds[i], out[i] = s.fold, s.out
	}
	unlike, err := t.unlike(ctx, p.means, patchcore.Shrinkage, folds, out)
	if err != nil {
		return w, err
	}
	var scores, kept []float64
	for _, i := range g.kept() {
		scores, kept = append(scores, g.shots[i].Score), append(kept, unlike[i])
	}
	w = patchcore.Weigh(scores, kept)
	for i := range g.shots {
		g.shots[i].Appearance = w.Of(unlike[i])
		g.shots[i].Score += g.shots[i].Appearance
	}
	var names []string
	for _, i := range calibrate.Suspects(unlike) {
		if !g.shots[i].out {
			g.shots[i].Suspect = true
			names = append(names, picture.Name(g.shots[i].File))
		}
	}
	if len(names) > 0 {
		t.note("%d of %d pictures are unlike the rest as a whole, in light, colour or finish, look at them: %s; they were learned and counted as the others", len(names), len(g.shots), some(names, ", "))
	}
	return w, nil
}

// unlike is how unlike that of the others the appearance of each picture is where its fold was not learned. Those that are
// out are learned for none. Rows of means are pictures, each followed by its changed copies.
func (t *trainer) unlike(ctx context.Context, means patchcore.Means, shrinkage float64, folds []int, out []bool) ([]float64, error) {
	unlike, versions, last := make([]float64, len(folds)), t.versions(), slices.Max(folds)
	for fold := range last + 1 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t.tell("appearance", fold+1, last+1)
		var others []int
		for i, f := range folds {
			if f != fold && (out == nil || !out[i]) {
				others = append(others, i)
			}
		}
		a, err := patchcore.NewAppearance(means.Of(rowsOf(others, versions)), shrinkage, patchcore.Weighing{})
		if err != nil {
			return nil, err
		}
		for i, f := range folds {
			if f == fold {
				unlike[i] = a.Unlikeness(means.Row(i * versions))
			}
		}
	}
	return unlike, nil
}

// rowsOf is the rows of means that numbered pictures and their changed copies have.
func rowsOf(pictures []int, versions int) []int {
	rows := make([]int, 0, len(pictures)*versions)
	for _, p := range pictures {
		for v := range versions {
			rows = append(rows, p*versions+v)
		}
	}
	return rows
}

// appearAnew gives the pictures of a recipe, to which some were added, the appearance that each has beside all others of now. Another Gaussian
// than the one they were held out of judges from now on, and what was far from that need not be from this.
func (t *trainer) appearAnew(ctx context.Context, r *recipe.Recipe) error {
	groups := make([]int, len(r.Pictures))
	for i, p := range r.Pictures {
		groups[i] = p.Group
	}
	unlike, err := t.unlike(ctx, r.Means, r.Method.AppearanceShrinkage, calibrate.Folds(groups, folds), nil)
	if err != nil {
		return err
	}
	for i := range r.Pictures {
		p := &r.Pictures[i]
		p.Score -= p.Appearance
		p.Appearance = r.Method.Weighing().Of(unlike[i])
		p.Score += p.Appearance
	}
	return nil
}
