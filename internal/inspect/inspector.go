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

// Inspector judges frames by one version of a recipe. Its methods may be called concurrently; frames
// are judged one after the other.
type Inspector struct {
	recipe    part.Recipe
	limits    picture.Limits
	threshold float64

	busy      sync.Mutex
	extractor *extractor
	scorer    *patchcore.Scorer
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

// OpenRecipe opens a recipe that was loaded, whatever the config names. When it returns, the network has
// run: the first part does not wait for anything to warm up.
func OpenRecipe(cfg Config, folders Folders, r *recipe.Recipe, log *slog.Logger) (*Inspector, error) {
	begun := time.Now()
	runtime, err := network.Start(cfg.Library, cfg.Device, cfg.Threads)
	if err != nil {
		return nil, err
	}
	backbone, err := network.FindBackbone(cfg.Backbone, folders.Backbones)
	if err != nil {
		return nil, err
	}
	if err := r.CheckBackbone(backbone); err != nil {
		return nil, hint.New(hint.Usage, err, "name the recipe's own network in inspect.backbone, or train the recipe again with this one")
	}
	i := &Inspector{recipe: r.ID(), limits: r.Quality, threshold: r.Threshold.Value}
	if i.extractor, err = newExtractor(runtime, backbone, r.Manifest.Backbone.Layers, r.Input); err != nil {
		return nil, err
	}
	if i.scorer, err = patchcore.NewScorer(runtime, i.extractor.network.Features, r.Bank, patchcore.DefaultOptions()); err != nil {
		i.extractor.close()
		return nil, fmt.Errorf("recipe %s@%d: %w", r.Name, r.Version, err)
	}
	if _, _, err := i.scorer.Score(); err != nil {
		i.Close()
		return nil, fmt.Errorf("recipe %s@%d: %w", r.Name, r.Version, err)
	}
	log.Info("recipe ready", "recipe", r.Name, "version", r.Version, "hash", r.Hash[:12], "backbone", backbone.Name,
		"input", r.Input.Size(), "bank", r.Bank.Rows, "threshold", r.Threshold.Value, "took", time.Since(begun).Round(time.Millisecond))
	return i, nil
}

// Recipe names what decides.
func (i *Inspector) Recipe() part.Recipe { return i.recipe }

// Inspect judges a frame. The stages are picture, network and score. A picture that cannot be judged is
// a finding with the picture's own reason. An error carries the reason for the reject, as does the
// finding beside it, which holds what was known by then. ctx is asked between stages only: a stage
// cannot be cancelled.
func (i *Inspector) Inspect(ctx context.Context, frame part.Frame) (part.Finding, error) {
	i.busy.Lock()
	defer i.busy.Unlock()
	f := part.Finding{Recipe: i.recipe, Score: math.NaN(), Threshold: i.threshold, Reason: part.None}
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
	if f.Score >= i.threshold {
		f.Reason = part.Anomaly
		f.Detail = fmt.Sprintf("score %.4g, threshold %.4g", f.Score, i.threshold)
	}
	return nil
}

// Close frees the network once no frame is being judged.
func (i *Inspector) Close() error {
	i.busy.Lock()
	defer i.busy.Unlock()
	i.scorer.Close()
	i.extractor.close()
	return nil
}
