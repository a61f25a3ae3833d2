package inspect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"linectl/internal/hint"
	"linectl/internal/inspect/evaluate"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
	"linectl/internal/raster"
)

const (
	// trialPictures is how many good pictures decide whether the network may compute in 8 bits: half of them are
	// learned and say what the 8 bits have to span, the others are scored.
	trialPictures = 60
	trialBank     = 512
	// leastTrial is with how many pictures nothing can be said of ranks.
	leastTrial = 12
)

// The gate of the network in 8 bits. Its features are some percent off, and the memory bank is made of them, so
// scores are not those of fp32; what must stay is their order, their size, and how well they tell bad from good.
const (
	leastRank     = 0.98 // Spearman's correlation over good and bad pictures
	mostOff       = 0.05 // of a score
	mostAUROCLost = 0.01
)

// eightBits makes the network in 8 bits if it may be used, and writes into b how it is computed, and why. nil is
// fp32. Two small recipes, one of each network's own features, score the same pictures: good ones that neither has
// learned, the same ones spoiled, and the known defects.
func (t *trainer) eightBits(ctx context.Context, backbone network.Backbone, b *recipe.Backbone, in recipe.Input, files []string, defects []recipe.Challenge) ([]byte, error) {
	asked := t.options.BackbonePrecision
	refuse := func(err error) ([]byte, error) {
		if asked == patchcore.Int8 {
			return nil, hint.New(hint.Failure, fmt.Errorf("the network cannot be computed in 8 bits: %w", err), "train with --backbone-precision fp32, or auto")
		}
		b.Gate = "int8 was not taken: " + err.Error()
		return nil, nil
	}
	switch {
	case asked == patchcore.FP32:
		return nil, nil
	case !t.runtime.Device().Int8():
		return refuse(checkInt8(t.runtime.Device()))
	case len(files) < leastTrial:
		return refuse(fmt.Errorf("%d pictures are too few to compare it with fp32", len(files)))
	}
	// Not by turns: neighbours may show the same part.
	some := make([]string, min(trialPictures, len(files)))
	for i := range some {
		some[i] = files[i*len(files)/len(some)]
	}
	learn, score := some[:len(some)/2], some[len(some)/2:]
	exact, err := t.try(ctx, "network in fp32", backbone, b.Layers, in, learn)
	if errors.Is(err, errUnreadable) {
		return nil, nil // training is about to name the pictures
	}
	if err != nil {
		return nil, err
	}
	defer exact.close()
	model, err := quantize(t.runtime, backbone, b.Layers, in, func(look func(part.Frame) error) error {
		return readAll(ctx, learn, func(_ int, frame part.Frame, err error) error {
			if err != nil {
				return nil
			}
			return look(frame)
		})
	})
	if err != nil {
		return refuse(err)
	}
	fast, err := t.try(ctx, "network in int8", backbone.Computing(model), b.Layers, in, learn)
	if err != nil {
		return refuse(err)
	}
	defer fast.close()
	l, err := compare(ctx, exact, fast, score, defects, t.options.Seed)
	if err != nil {
		return nil, err
	}
	if l.good == 0 {
		return nil, nil // likewise
	}
	if !l.ok() {
		if asked == Auto {
			t.note("the network computes in fp32: in 8 bits it does not score as in fp32 (%v)", l)
		}
		return refuse(fmt.Errorf("it does not score as in fp32: %v", l))
	}
	b.Precision, b.Gate = patchcore.Int8, "int8 agrees with fp32: "+l.String()
	return model, nil
}

// attempt is a small recipe of one network.
type attempt struct {
	*trainer
	learner learner
	scorer  scorer
}

var errUnreadable = errors.New("none of the pictures can be read")

// try learns from some pictures through a network. Pictures that cannot be read are passed over; gather names them.
func (t *trainer) try(ctx context.Context, stage string, backbone network.Backbone, layers []string, in recipe.Input, files []string) (_ *attempt, err error) {
	own := &trainer{options: t.options, runtime: t.runtime}
	own.options.Bank, own.options.Widen = min(trialBank, t.options.Bank), nil
	a := &attempt{trainer: own}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	if own.extractor, err = newExtractor(t.runtime, backbone, layers, in); err != nil {
		return nil, err
	}
	if a.learner, err = own.newLearner(len(files)); err != nil {
		return nil, err
	}
	var learned []int
	err = readAll(ctx, files, func(i int, frame part.Frame, err error) error {
		t.tell(stage, i+1, len(files))
		if err != nil {
			return nil
		}
		if err := own.see(frame); err != nil {
			return err
		}
		learned = append(learned, len(learned))
		return a.learner.take(len(learned)-1, files[i], len(files))
	})
	if err != nil {
		return nil, err
	}
	if len(learned) == 0 {
		return nil, errUnreadable
	}
	m, err := a.learner.learn(ctx, learned, len(learned), func(int, int) {})
	if err != nil {
		return nil, err
	}
	a.scorer, err = m.scorer(patchcore.FP32)
	return a, err
}

func (a *attempt) close() {
	if a.scorer != nil {
		a.scorer.Close()
	}
	if a.learner != nil {
		a.learner.close()
	}
	if a.extractor != nil {
		a.extractor.close()
	}
}

// score is what the attempt makes of a frame.
func (a *attempt) score(frame part.Frame) (float64, error) {
	if err := a.see(frame); err != nil {
		return 0, err
	}
	score, _, err := a.scorer.Score()
	return score, err
}

// likeness is how two recipes score the same pictures.
type likeness struct {
	patchcore.Agreement
	good, bad         int
	aurocWas, aurocIs float64
}

func (l likeness) ok() bool {
	return l.Spearman >= leastRank && l.MaxRelative <= mostOff && l.aurocIs >= l.aurocWas-mostAUROCLost // NaN is none of these
}

func (l likeness) String() string {
	return fmt.Sprintf("%d held-out good and %d spoiled or bad pictures: rank correlation %.3f, scores within %.1f %%, AUROC %.3f beside %.3f",
		l.good, l.bad, l.Spearman, 100*l.MaxRelative, l.aurocIs, l.aurocWas)
}

// compare scores good pictures, each also spoiled, and known defects by two attempts.
func compare(ctx context.Context, exact, fast *attempt, good []string, defects []recipe.Challenge, seed uint64) (likeness, error) {
	var was, is [2][]float64 // of good, of bad
	score := func(frame part.Frame, bad int) error {
		a, err := exact.score(frame)
		if err != nil {
			return err
		}
		b, err := fast.score(frame)
		was[bad], is[bad] = append(was[bad], a), append(is[bad], b)
		return err
	}
	random := rand.New(rand.NewPCG(seed, 8))
	err := readAll(ctx, good, func(_ int, frame part.Frame, err error) error {
		if err != nil {
			return nil
		}
		if err := score(frame, 0); err != nil {
			return err
		}
		return score(spoil(frame, random), 1)
	})
	for _, d := range defects {
		if err == nil {
			var frame part.Frame
			if frame, err = raster.Decode(d.Picture); err == nil {
				err = score(frame, 1)
			}
		}
	}
	if err != nil {
		return likeness{}, err
	}
	return likeness{
		Agreement: patchcore.Agree(append(slices.Clone(was[0]), was[1]...), append(slices.Clone(is[0]), is[1]...)),
		good:      len(was[0]), bad: len(was[1]),
		aurocWas: evaluate.AUROC(was[0], was[1]), aurocIs: evaluate.AUROC(is[0], is[1]),
	}, nil
}

// spoil puts a small piece of the picture where it does not belong, a little brighter or darker (CutPaste, Li et
// al., CVPR 2021): a stand-in for a defect, which is as hard to see on one part as another one is easy.
func spoil(frame part.Frame, random *rand.Rand) part.Frame {
	spoiled := frame
	spoiled.Pixels, spoiled.SHA256 = slices.Clone(frame.Pixels), ""
	side := func() int { return max(2, int(float64(min(frame.Width, frame.Height))*(0.04+0.08*random.Float64()))) }
	width, height := side(), side()
	place := func() (x, y int) {
		return random.IntN(max(1, frame.Width-width)), random.IntN(max(1, frame.Height-height))
	}
	fromX, fromY := place()
	toX, toY := place()
	gain := 0.8 + 0.4*random.Float64()
	for y := range min(height, frame.Height) {
		for x := range 3 * min(width, frame.Width) {
			v := frame.Pixels[3*((fromY+y)*frame.Width+fromX)+x]
			spoiled.Pixels[3*((toY+y)*frame.Width+toX)+x] = byte(min(255, math.Round(gain*float64(v))))
		}
	}
	return spoiled
}
