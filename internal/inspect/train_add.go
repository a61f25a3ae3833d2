package inspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"linectl/internal/hint"
	"linectl/internal/inspect/calibrate"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
	"linectl/internal/raster"
)

// mostAdded is the share of a memory bank by which one addition may make it, and so the time per part, grow.
const mostAdded = 0.25

// Add makes a new version of a recipe's active one that has also learned the good pictures in o.Good: what they
// show and the memory bank lacks. Each of them is held out against the bank and what the others add; its score
// joins those that the version keeps, and the thresholds are set anew from all: for what they were set for, or, where o has
// one, for another target, that of zones included. Pictures of parts that the version knows are left out. An int8 bank
// must pass the gate anew and is fp32 where it does not. Everything else stays as it was trained.
func Add(ctx context.Context, cfg Config, folders Folders, o TrainOptions, progress Progress) (*recipe.Recipe, error) {
	folder := recipe.Folder(folders.Recipes)
	parent, err := folder.Load(o.Name, 0)
	if err != nil {
		return nil, err
	}
	if parent.Method.Name != recipe.PatchCore {
		return nil, hint.New(hint.Usage, fmt.Errorf("pictures cannot be added to %s@%d: %s learns from all pictures at once", parent.Name, parent.Version, parent.Method.Name), "train it again with --good and all pictures")
	}
	m := parent.Method
	o.Method, o.Score, o.TopK, o.Precision, o.Seed, o.Bank = m.Name, m.Score, m.TopK, m.Precision, m.Seed, m.Bank
	o.BackbonePrecision = cmp.Or(parent.Manifest.Backbone.Precision, patchcore.FP32)
	o.Size, o.Widen = parent.Input.Size(), parent.Training.Widen
	if m.Precision == patchcore.Int8 {
		o.Precision = Auto
	}
	whole := o
	whole.Target, whole.Review = cmp.Or(o.Target, parent.Threshold.Target), cmp.Or(o.Review, parent.Threshold.ReviewTarget)
	if err := whole.check(cfg.Device); err != nil {
		return nil, err
	}
	t, files, err := begin(cfg, folders, o, progress)
	if err != nil {
		return nil, err
	}
	if t.extractor, err = open(t.runtime, cfg, folders, parent); err != nil {
		return nil, err
	}
	defer t.extractor.close()
	r, added, err := t.add(ctx, parent, files)
	if err != nil {
		return nil, err
	}
	// Where it takes too long now, only a person can say whether good parts that are rejected are worse.
	if exceeded, err := t.measureAgain(ctx, r); err != nil {
		return nil, err
	} else if exceeded != nil {
		t.note("%v; training it anew with --good and --budget keeps within it", exceeded)
	}
	return t.save(ctx, folders, r, fmt.Sprintf("%d pictures added", added))
}

func (t *trainer) add(ctx context.Context, parent *recipe.Recipe, files []string) (*recipe.Recipe, int, error) {
	if parent.Method.WithAppearance() && parent.Means.Rows != len(parent.Pictures)*t.versions() {
		return nil, 0, hint.New(hint.Damage, fmt.Errorf("%s@%d holds %d mean patches of %d pictures, each learned in %d versions", parent.Name, parent.Version, parent.Means.Rows, len(parent.Pictures), t.versions()), "train it again with --good and all pictures")
	}
	if err := t.roomForBank(parent.Bank.Rows+int(mostAdded*float64(parent.Bank.Rows)), len(files), parent.Means.Rows, "add fewer pictures at a time"); err != nil {
		return nil, 0, err
	}
	e, err := patchcore.NewEmbedder(t.runtime, t.extractor.network.Features, t.options.Seed)
	if err != nil {
		return nil, 0, err
	}
	l := t.patchcoreLearner(e, 0)
	defer l.close()
	known := make(map[string]bool)
	for _, p := range parent.Pictures {
		known[p.SHA256] = true
	}
	g, err := t.gather(ctx, files, l, known)
	if err != nil {
		return nil, 0, err
	}
	var other []string
	for _, s := range g.shots {
		if err := parent.Quality.Fits(s.size); err != nil {
			other = append(other, fmt.Sprintf("%s: %v", picture.Name(s.File), err))
		}
	}
	if len(other) > 0 {
		return nil, 0, hint.New(hint.Usage, fmt.Errorf("%d of %d pictures are of another shape than those that %s@%d has learned: %s", len(other), len(g.shots), parent.Name, parent.Version, some(other, "; ")),
			"take them out of "+t.options.Good+", or train anew with --good and all pictures")
	}
	if err := t.leaveTwins(ctx, parent, g); err != nil {
		return nil, 0, err
	}
	all := g.kept()
	if len(all) == 0 {
		return nil, 0, hint.New(hint.Usage, fmt.Errorf("%s@%d has learned every picture in %s already", parent.Name, parent.Version, t.options.Good), "name a folder of other pictures")
	}
	rejected, err := t.rejected(ctx, parent, g)
	if err != nil {
		return nil, 0, err
	}
	base, err := patchcore.NewBase(patchcore.Project(parent.Bank.Vectors, parent.Bank.Dim, t.options.Seed), patchcore.ProjectedDim)
	if err != nil {
		return nil, 0, err
	}
	x := &extending{l, parent.Bank, base, len(parent.Pictures)}
	held, err := t.holdOut(ctx, g, x, heldOut, t.tryInt8())
	if err != nil {
		return nil, 0, err
	}
	r := *parent
	r.Parent, r.Zones, r.History, r.Golden, r.Hash = parent.Version, slices.Clone(parent.Zones), slices.Clone(parent.History), nil, ""
	r.Pictures, r.Thumbnails = slices.Clone(parent.Pictures), slices.Clone(parent.Thumbnails)
	first := 0
	for _, p := range parent.Pictures {
		first = max(first, p.Group+1)
	}
	qualities := make([]part.Quality, 0, len(r.Pictures)+len(all))
	var sizes []picture.Size
	groups := make(map[int]bool)
	for _, i := range all {
		s := g.shots[i]
		sizes = append(sizes, s.size)
		s.Group += first
		r.Pictures = append(r.Pictures, s.Picture)
		if len(parent.Thumbnails) == len(parent.Pictures) {
			r.Thumbnails = append(r.Thumbnails, s.jpeg)
		}
	}
	if parent.Method.WithAppearance() {
		r.Means = parent.Means.With(l.means.Of(rowsOf(all, t.versions())))
		if err := t.appearAnew(ctx, &r); err != nil {
			return nil, 0, err
		}
	}
	for _, p := range r.Pictures {
		qualities = append(qualities, p.Quality)
		groups[p.Group] = true
	}
	r.Training.LeftOut, r.Training.LeftOutSHA256 = stillOut(parent.Training, r.Pictures)
	learned, err := x.learn(ctx, all, len(all), func(done, total int) { t.tell("added pictures", done, total) })
	if err != nil {
		return nil, 0, err
	}
	bank, ok := learned.(bankModel)
	if !ok {
		return nil, 0, errors.New("a memory bank was not extended by a memory bank")
	}
	r.Bank, r.Method.Bank = bank.bank, bank.bank.Rows
	if parent.Method.Precision == patchcore.Int8 {
		if held, err = t.scoreKnown(ctx, bank, parent.Thumbnails, held); err != nil {
			return nil, 0, err
		}
		if r.Method.Precision, r.Method.Gate, err = t.gate(held); err != nil {
			return nil, 0, err
		}
		if held.int8 == nil {
			t.note("the memory bank is fp32 from now on, on the cpu too: %s has no int8 to prove it by", t.runtime.Device())
		}
	}
	r.Quality = picture.LimitsOf(qualities)
	if parent.Quality.Widest > 0 {
		r.Quality.Narrowest, r.Quality.Widest = parent.Quality.Narrowest, parent.Quality.Widest
		r.Quality = r.Quality.WithShapes(sizes)
	}
	r.Training.Pictures, r.Training.Groups = len(r.Pictures), len(groups)
	r.Training.Patches += bank.patches
	r.Training.Sampled += bank.sampled
	t.note("%d pictures added %d vectors to the %d of the memory bank", len(all), r.Bank.Rows-parent.Bank.Rows, parent.Bank.Rows)
	if len(rejected) > 0 {
		t.note("%s@%d rejects %d of them, look at them, for what they show passes from now on: %s", parent.Name, parent.Version, len(rejected), some(rejected, ", "))
	}
	if err := t.aim(&r); err != nil {
		return nil, 0, err
	}
	return &r, len(all), t.keepGolden(&r, all, func(i int) string { return g.shots[i].path })
}

// rejected names the pictures that are to be learned and that the parent rejects: held out from one another they need not be strange, where
// two show the same defect.
func (t *trainer) rejected(ctx context.Context, parent *recipe.Recipe, g *gathered) (names []string, err error) {
	i, err := newInspector(t.runtime, t.extractor, parent)
	if err != nil {
		return nil, err
	}
	defer i.scorer.Close() // the extractor is the trainer's
	kept := g.kept()
	files := make([]string, len(kept))
	for n, shot := range kept {
		files[n] = g.shots[shot].path
	}
	err = readAll(ctx, files, func(n int, frame part.Frame, err error) error {
		if err != nil {
			return err
		}
		found, err := i.Inspect(ctx, frame)
		if err != nil {
			return err
		}
		if found.Reason != part.None {
			names = append(names, fmt.Sprintf("%s (%s)", picture.Name(g.shots[kept[n]].File), found.Detail))
		}
		t.tell("rejected so far", n+1, len(files))
		return nil
	})
	return names, err
}

// stillOut is what training left out and what was not learned since.
func stillOut(t recipe.Training, pictures []recipe.Picture) (files, sha256 []string) {
	learned := make(map[string]bool, len(pictures))
	for _, p := range pictures {
		learned[p.SHA256] = true
	}
	for i, file := range t.LeftOut {
		switch {
		case i >= len(t.LeftOutSHA256): // nobody knows
			files = append(files, file)
		case !learned[t.LeftOutSHA256[i]]:
			files, sha256 = append(files, file), append(sha256, t.LeftOutSHA256[i])
		}
	}
	return files, sha256
}

// aim sets the targets that were asked for, and the thresholds anew.
func (t *trainer) aim(r *recipe.Recipe) error {
	limits, err := Limits(r)
	if err != nil {
		return err
	}
	for _, l := range limits {
		l.Threshold.Target = cmp.Or(t.options.Target, l.Threshold.Target)
		l.Threshold.ReviewTarget = cmp.Or(t.options.Review, l.Threshold.ReviewTarget)
		put(&r.Manifest, l.Zone, l.Threshold)
	}
	return t.promise(r)
}

// pooled is how many pictures the gate of an extended bank asks for: few added ones say nothing of ranks.
const pooled = 60

// scoreKnown adds to the scores in both precisions those of small copies of some pictures that were learned, where fewer than
// pooled were held out. They show how far int8 is off, though not what new parts score.
func (t *trainer) scoreKnown(ctx context.Context, m model, copies [][]byte, held heldScores) (heldScores, error) {
	if held.int8 == nil {
		return held, nil
	}
	s, err := t.scorers(m, true)
	if err != nil {
		return held, err
	}
	defer s.close()
	random := rand.New(rand.NewPCG(t.options.Seed, 10))
	for _, k := range random.Perm(len(copies))[:min(len(copies), max(0, pooled-len(held.fp32)))] {
		if err := ctx.Err(); err != nil {
			return held, err
		}
		frame, err := raster.Decode(copies[k])
		var fp32, int8 float64
		if err == nil {
			fp32, int8, _, err = s.score(frame)
		}
		if err != nil {
			return held, fmt.Errorf("small copy %d: %w", k+1, err)
		}
		held.fp32, held.int8, held.known = append(held.fp32, fp32), append(held.int8, int8), held.known+1
	}
	return held, nil
}

// leaveTwins leaves out pictures of parts that the parent has learned: they teach nothing, and their scores, being
// those of known parts, would promise too much. Both sides are compared as the small copies that a recipe keeps.
func (t *trainer) leaveTwins(ctx context.Context, parent *recipe.Recipe, g *gathered) error {
	if len(parent.Thumbnails) != len(parent.Pictures) || len(g.shots) == 0 {
		return nil
	}
	small := slices.Clone(parent.Thumbnails)
	for _, s := range g.shots {
		small = append(small, s.jpeg)
	}
	features := t.extractor.network.Features
	describer := newDescriber(features[len(features)-1], t.options.Seed)
	var descriptors []float32
	for i, jpeg := range small {
		if err := ctx.Err(); err != nil {
			return err
		}
		t.tell("known parts", i+1, len(small))
		frame, err := raster.Decode(jpeg)
		if err == nil {
			err = t.see(frame)
		}
		if err != nil {
			return fmt.Errorf("small copy %d of %s@%d: %w", i+1, parent.Name, parent.Version, err)
		}
		descriptors = append(descriptors, describer.describe()...)
	}
	groups := calibrate.Group(descriptors, descriptorDim)
	known := make(map[int]string)
	for i, p := range parent.Pictures {
		known[groups[i]] = p.File
	}
	var twins []string
	for i := range g.shots {
		if of, ok := known[groups[len(parent.Pictures)+i]]; ok {
			g.shots[i].out = true
			twins = append(twins, fmt.Sprintf("%s that of %s", picture.Name(g.shots[i].File), picture.Name(of)))
		}
	}
	if len(twins) > 0 {
		t.note("%d of %d pictures show parts that %s@%d has learned and were left out: %s", len(twins), len(g.shots), parent.Name, parent.Version, some(twins, ", "))
	}
	return nil
}

// extending learns by adding to a memory bank.
type extending struct {
	*patchcoreLearner
	bank     patchcore.Bank
	base     *patchcore.Base // the bank, projected
	pictures int             // that the bank was made of
}

func (l *extending) learn(ctx context.Context, pictures []int, all int, progress func(done, total int)) (model, error) {
	most := min(MostBank-l.bank.Rows, share(int(mostAdded*float64(l.bank.Rows)), len(pictures), all))
	rows, place := l.rows(pictures), places(pictures)
	chosen, err := l.base.Extend(ctx, l.projected, rows, most, func(done int) { progress(done, most) })
	if err != nil {
		return nil, err
	}
	bank := patchcore.Bank{Rows: l.bank.Rows, Dim: l.bank.Dim, Vectors: slices.Clone(l.bank.Vectors), Origin: slices.Clone(l.bank.Origin)}
	for _, row := range chosen {
		bank.Rows++
		bank.Vectors = append(bank.Vectors, l.patches[row*bank.Dim:(row+1)*bank.Dim]...)
		if l.bank.Origin != nil {
			o := l.origin[row]
			bank.Origin = append(bank.Origin, patchcore.Origin{Picture: place[o.Picture] + int32(l.pictures), Cell: o.Cell})
		}
	}
	return bankModel{l.t, bank, l.means.Of(rowsOf(pictures, l.t.versions())), len(pictures) * l.t.versions() * l.embedder.Grid, len(rows)}, nil
}
