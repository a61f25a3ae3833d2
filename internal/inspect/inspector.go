// Package inspect owns everything that depends on the product: a frame and a recipe go in, a finding
// comes out. It judges by the active version of a recipe, verified to the last byte, and refuses to
// judge by anything else. What the verdict means for the PLC, and whether it comes in time, is the
// line's business.
package inspect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"linectl/internal/hint"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/padim"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
)

// Folders is where recipes and backbones lie.
type Folders struct {
	Recipes   string
	Backbones string // asked first for the default backbone; "" is not asked
}

// scorer gives what the features hold its score, by the patches alone: patchcore's or padim's.
type scorer interface {
	Score() (float64, part.Map, error)
	Close()
}

// appearance is what the picture that was scored last adds to its score as a whole.
func appearance(s scorer) float64 {
	if p, ok := s.(*patchcore.Scorer); ok {
		return p.Appearance()
	}
	return 0
}

// Inspector judges frames by one version of a recipe. Its methods may be called concurrently; frames
// are judged one after the other.
type Inspector struct {
	recipe    part.Recipe
	limits    picture.Limits
	threshold recipe.Threshold
	device    string
	precision string // of the memory bank, as the device computes it

	busy      sync.Mutex
	extractor *extractor
	scorer    scorer
	judge     *judge // nil where the recipe has no zones
	shower    shower // nil where maps are shown as they are
}

// Open opens the active version of the recipe that the config names.
func Open(cfg Config, folders Folders, log *slog.Logger) (*Inspector, error) {
	if cfg.Recipe == "" {
		return nil, hint.New(hint.Usage, fmt.Errorf("inspect.recipe is empty"), "name the recipe that 'linectl train NAME' makes")
	}
	r, err := recipe.Folder(folders.Recipes).Load(cfg.Recipe, 0)
	if err != nil {
		return nil, err
	}
	return OpenRecipe(cfg, folders, r, log)
}

// OpenRecipe opens a recipe that was loaded, whatever the config names. When it returns, its golden pictures
// have had the scores that they must have on this device, and the first part does not wait for anything to
// warm up.
func OpenRecipe(cfg Config, folders Folders, r *recipe.Recipe, log *slog.Logger) (*Inspector, error) {
	begun := time.Now()
	runtime, err := start(cfg, folders)
	if err != nil {
		return nil, err
	}
	extractor, err := open(runtime, cfg, folders, r)
	if err != nil {
		return nil, err
	}
	i, err := newInspector(runtime, extractor, r)
	if err != nil {
		extractor.close()
		return nil, fmt.Errorf("recipe %s@%d: %w", r.Name, r.Version, err)
	}
	if err := i.selfTest(cfg.Device, r); err != nil {
		i.Close()
		return nil, fmt.Errorf("recipe %s@%d: %w", r.Name, r.Version, err)
	}
	log.Info("recipe ready", "recipe", r.Name, "version", r.Version, "hash", r.Hash[:12], "method", r.Method.Name, "precision", i.precision,
		"backbone", r.Manifest.Backbone.Name, "backbone precision", r.Manifest.Backbone.Precision, "device", cfg.Device, "input", r.Input.Size(), "bank", r.Bank.Rows, "threshold", r.Threshold.Value,
		"zones", len(r.Zones), "golden", len(r.Golden), "took", time.Since(begun).Round(time.Millisecond))
	return i, nil
}

// newInspector makes an inspector of a recipe, which need not have been saved, on an open network. The
// inspector has run once. It owns the extractor unless there is an error.
func newInspector(runtime *network.Runtime, e *extractor, r *recipe.Recipe) (*Inspector, error) {
	i := &Inspector{recipe: r.ID(), limits: r.Quality, threshold: r.Threshold, device: runtime.Device().String(),
		precision: precisionOn(runtime.Device(), r.Method.Precision), extractor: e}
	features := e.network.Features
	var exact func(cell int) float64
	if r.Gauss != nil {
		s, err := padim.NewScorer(features, r.Gauss, r.Input.Width, r.Input.Height, runtime.Threads())
		if err != nil {
			return nil, err
		}
		i.scorer = s
	} else {
		options := r.Method.Options()
		options.Precision = i.precision
		var whole *patchcore.Appearance
		if r.Method.WithAppearance() {
			var err error
			if whole, err = patchcore.NewAppearance(r.Means, r.Method.AppearanceShrinkage, r.Method.Weighing()); err != nil {
				return nil, err
			}
		}
		s, err := patchcore.NewScorer(runtime, features, r.Bank, whole, options)
		if err != nil {
			return nil, err
		}
		i.scorer = s
		if options.Precision != patchcore.FP32 {
			exact = func(cell int) float64 { _, distance := s.Nearest(cell); return distance }
		}
	}
	_, m, err := i.scorer.Score()
	if err == nil && len(r.Zones) > 0 {
		i.judge, err = newJudge(r.Manifest, m.Width, m.Height, exact)
	}
	if err == nil {
		i.shower, err = newShower(r.Method.Score, m.Width, m.Height, r.Input.Size(), recipe.Places(r.Zones, m.Width, m.Height))
	}
	if err != nil {
		i.scorer.Close()
		return nil, err
	}
	return i, nil
}

// precisionOn is that in which a device computes a memory bank of the given precision. One that has no int8 computes fp32 as
// fast, which needs no gate.
func precisionOn(d network.Device, bank string) string {
	if d.Int8() {
		return bank
	}
	return patchcore.FP32
}

// Recipe names what decides.
func (i *Inspector) Recipe() part.Recipe { return i.recipe }

// Precision is that in which the memory bank is computed here: fp32 for one of int8 where the device has none.
func (i *Inspector) Precision() string { return i.precision }

// Inspect judges a frame. The stages are picture, network and score. A picture that cannot be judged is
// a finding with the picture's own reason. An error carries the reason for the reject, as does the
// finding beside it, which holds what was known by then. ctx is asked between stages only: a stage
// cannot be cancelled.
func (i *Inspector) Inspect(ctx context.Context, frame part.Frame) (part.Finding, error) {
	i.busy.Lock()
	defer i.busy.Unlock()
	f := part.Finding{Recipe: i.recipe, Score: math.NaN(), Threshold: i.threshold.Value, Device: i.device, Reason: part.None, Stages: make([]part.Stage, 0, 3)}
	for _, stage := range []struct {
		name string
		run  func(part.Frame, *part.Finding) error
	}{{"picture", i.picture}, {"network", i.network}, {"score", i.score}} {
		err := ctx.Err()
		if err == nil {
			begun := time.Now()
			err = stage.run(frame, &f)
			f.Stages = append(f.Stages, part.Stage{Name: stage.name, Took: time.Since(begun)})
		}
		if err != nil {
			f.Reason = part.ReasonOf(err, part.InspectionFault)
			return f, part.Because(f.Reason, fmt.Errorf("inspect by recipe %s@%d: %w", i.recipe.Name, i.recipe.Version, err))
		}
		if f.Reason != part.None {
			break
		}
	}
	return f, nil
}

// picture judges the picture itself and makes it the network's input.
func (i *Inspector) picture(frame part.Frame, f *part.Finding) (err error) {
	if f.Quality, err = i.extractor.prepare.Measure(frame); err != nil {
		return err
	}
	if err := i.limits.Fits(picture.Size{Width: frame.Width, Height: frame.Height}); err != nil {
		f.Reason, f.Detail = part.BadFrame, err.Error()
		return nil
	}
	if f.Reason, f.Detail = i.limits.Refuse(f.Quality); f.Reason != part.None {
		return nil
	}
	return i.extractor.load(frame)
}

func (i *Inspector) network(part.Frame, *part.Finding) error { return i.extractor.run() }

// score judges the part.
func (i *Inspector) score(_ part.Frame, f *part.Finding) (err error) {
	if f.Score, f.Map, err = i.scorer.Score(); err != nil {
		return err
	}
	if math.IsNaN(f.Score) {
		return part.Because(part.ScoreInvalid, errors.New("the score is not a finite number"))
	}
	decided := judgement{limit{Threshold: i.threshold}, f.Score}
	if i.judge != nil { // a zone is judged by its own patches alone
		decided = i.judge.decide(f.Map)
		i.judge.hide(f.Map)
	} else if f.Appearance = appearance(i.scorer); f.Appearance != 0 {
		if math.IsNaN(f.Appearance) {
			f.Score = math.NaN()
			return part.Because(part.ScoreInvalid, errors.New("the appearance is not a finite number"))
		}
		decided.score += f.Appearance
		f.Map.Lift(f.Appearance)
	}
	if i.shower != nil {
		f.Patches, f.Map = f.Map, i.shower(f.Map)
	}
	f.Zone, f.Score, f.Threshold = decided.zone, decided.score, decided.Value
	switch {
	case f.Score >= f.Threshold:
		f.Reason = part.Anomaly
		f.Detail = fmt.Sprintf("%s, threshold %.4g", scored(f), f.Threshold)
		if f.Zone != "" {
			f.Detail += ", zone " + f.Zone
		}
	case decided.due():
		f.Review = true
		f.Detail = fmt.Sprintf("%s, review from %.4g, threshold %.4g", scored(f), decided.Review, f.Threshold)
	}
	return nil
}

// scored is the score in words.
func scored(f *part.Finding) string {
	text := fmt.Sprintf("score %.4g", f.Score)
	if f.Appearance != 0 {
		text += fmt.Sprintf(", of it appearance %.4g", f.Appearance)
	}
	return text
}

// Close frees the network once no frame is being judged.
func (i *Inspector) Close() error {
	i.busy.Lock()
	defer i.busy.Unlock()
	i.scorer.Close()
	i.extractor.close()
	return nil
}
