package inspect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"linectl/internal/inspect/evaluate"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
	"linectl/internal/raster"
)

const (
	// leastToChoose is how many held-out good pictures, and how many known defects, can tell scores apart at all.
	leastToChoose = 10
	choiceFolds   = 2 // of the folds are scored, the others learned
	resamples     = 400
	// clearly is by how many standard errors a score must tell good from bad better than the default does.
	clearly = 2
)

// scorings are what a recipe may choose among, the default first: the scores that follow from a map, and from the appearance.
var scorings = []recipe.Method{
	{Name: recipe.PatchCore, Score: patchcore.MaxAppearance},
	{Name: recipe.PatchCore, Score: patchcore.Max},
	{Name: recipe.PatchCore, Score: patchcore.MaxMean},
	{Name: recipe.PatchCore, Score: patchcore.MeanTopK, TopK: DefaultTopK},
}

// choose sets the score that tells the product's own known defects best from good pictures that were held out, and
// returns the evidence. The default stays where none is clearly better, where the score was asked for, and where
// there are too few pictures; what is spoiled artificially does not choose, for it does not predict which score is
// better on real defects (docs/accuracy.md).
func (t *trainer) choose(ctx context.Context, g *gathered, l learner) (string, error) {
	if !t.free || len(t.defects) == 0 {
		return "", nil
	}
	p, ok := l.(*patchcoreLearner)
	if !ok {
		return "", errors.New("only a memory bank has a choice of scores")
	}
	var learn, held []int
	var files []string
	for i, s := range g.shots {
		if s.out {
			continue
		}
		if s.fold < choiceFolds {
			held, files = append(held, i), append(files, s.path)
		} else {
			learn = append(learn, i)
		}
	}
	if min(len(held), len(t.defects)) < leastToChoose {
		return fmt.Sprintf("the default: %d held-out good and %d challenge pictures are too few to choose by", len(held), len(t.defects)), nil
	}
	m, err := l.learn(ctx, learn, len(g.kept()), func(done, total int) { t.tell("choice of the score", done, total) })
	if err != nil {
		return "", err
	}
	good, bad := make([][]float64, len(scorings)), make([][]float64, len(scorings))
	note := func(all [][]float64, cells part.Map) error {
		for i, c := range scorings {
			j, err := newJudge(recipe.Manifest{Method: c}, cells.Width, cells.Height, nil)
			if err != nil {
				return err
			}
			all[i] = append(all[i], j.score(cells, recipe.Rest))
		}
		return nil
	}
	var failed error
	err = t.score(ctx, m, files, false, func(_ int, _, _ float64, cells part.Map) {
		if failed == nil {
			failed = note(good, cells)
		}
	})
	if err == nil {
		err = failed
	}
	var ordinary *patchcore.Appearance
	if err == nil {
		ordinary, err = patchcore.NewAppearance(p.means.Of(rowsOf(learn, t.versions())), patchcore.Shrinkage, patchcore.Weighing{})
	}
	var goodWhole, badWhole []float64
	if err == nil {
		for _, i := range held {
			goodWhole = append(goodWhole, ordinary.Unlikeness(p.means.Row(i*t.versions())))
		}
		err = t.scoreDefects(m, func(cells part.Map) error {
			if err := p.embedder.Run(); err != nil { // of the features that were scored
				return err
			}
			badWhole = append(badWhole, ordinary.Unlikeness(p.embedder.Mean.Data()))
			return note(bad, cells)
		})
	}
	if err != nil {
		return "", err
	}
	w := patchcore.Weigh(good[0], goodWhole)
	add := func(scores, unlike []float64) {
		for i, u := range unlike {
			scores[i] += w.Of(u)
		}
	}
	add(good[0], goodWhole)
	add(bad[0], badWhole)
	best, evidence := prefer(good, bad, t.options.Seed)
	t.options.Score, t.options.TopK = scorings[best].Score, scorings[best].TopK
	t.note("score %s: %s", t.options.Score, evidence)
	return evidence, nil
}

// scoreDefects hands on the map of each known defect.
func (t *trainer) scoreDefects(m model, use func(part.Map) error) error {
	s, err := t.scorers(m, false)
	if err != nil {
		return err
	}
	defer s.close()
	for _, d := range t.defects {
		frame, err := raster.Decode(d.Picture)
		var cells part.Map
		if err == nil {
			_, _, cells, err = s.score(frame)
		}
		if err == nil {
			err = use(cells)
		}
		if err != nil {
			return fmt.Errorf("challenge picture %s: %w", d.Name, err)
		}
	}
	return nil
}

// prefer chooses among scorings, of which each scored the same good and the same bad pictures. Another than the
// first is chosen only where its AUROC exceeds the first's by more than the chance in which pictures were taken
// explains: two standard errors of the difference, from pictures drawn again with replacement (Efron and
// Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 6).
func prefer(good, bad [][]float64, seed uint64) (best int, evidence string) {
	first := evaluate.AUROC(good[0], bad[0])
	evidence = fmt.Sprintf("%d held-out good and %d challenge pictures: AUROC %.3f with %s", len(good[0]), len(bad[0]), first, scorings[0].Score)
	lead := 0.0
	for i := 1; i < len(good); i++ {
		gain := evaluate.AUROC(good[i], bad[i]) - first
		random := rand.New(rand.NewPCG(seed, 9))
		var sum, squares float64
		for range resamples {
			goods, bads := drawn(random, len(good[0])), drawn(random, len(bad[0]))
			d := evaluate.AUROC(pick(good[i], goods), pick(bad[i], bads)) - evaluate.AUROC(pick(good[0], goods), pick(bad[0], bads))
			sum, squares = sum+d, squares+d*d
		}
		mean := sum / resamples
		spread := math.Sqrt(max(0, squares/resamples-mean*mean))
		evidence += fmt.Sprintf(", %+.3f ± %.3f with %s", gain, spread, scorings[i].Score)
		if gain > clearly*spread && gain > lead {
			best, lead = i, gain
		}
	}
	return best, evidence
}

// drawn is n of the numbers below n, each as often as chance has it.
func drawn(random *rand.Rand, n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = random.IntN(n)
	}
	return all
}

func pick(values []float64, at []int) []float64 {
	picked := make([]float64, len(at))
	for i, k := range at {
		picked[i] = values[k]
	}
	return picked
}
