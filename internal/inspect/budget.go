package inspect

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"linectl/internal/hint"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
)

// Choice is the setting that a budget allows, and what was measured to find it.
type Choice struct {
	Setting
	Budget recipe.Budget // its last trial is the setting's
}

// trial holds what was measured against the time that is allowed.
func trial(t Timing, score string, limit time.Duration) recipe.Trial {
	r := recipe.Trial{Backbone: t.What, Input: t.Input.String(), Bank: t.Bank, Precision: t.Precision, Score: score, Network: t.Computes,
		Measured: t.Inspections, P50: t.Whole.P50, P99: t.Whole.P99, Fits: true, Why: "p99 is within the budget"}
	switch most := millis(limit); {
	case r.P50 > most:
		r.Fits, r.Why = false, "p50 exceeds the budget"
	case r.P99 > most:
		r.Fits, r.Why = false, "p99 exceeds the budget"
	}
	return r
}

// measureAgain measures a recipe with a budget that takes other time than the setting that was chosen for it, since training
// has decided on its precision or its score, or it has learned more. What came of it is the budget's last trial from then
// on. exceeded says that the recipe takes too long.
func (t *trainer) measureAgain(ctx context.Context, r *recipe.Recipe) (exceeded, err error) {
	if r.Training.Budget == nil || len(r.Training.Budget.Trials) == 0 { // without trials it is of another's making: nothing to hold it against
		return nil, nil
	}
	b := *r.Training.Budget
	limit, err := time.ParseDuration(b.Limit)
	if err != nil {
		return nil, fmt.Errorf("the recipe's budget: %w", err)
	}
	if device := t.runtime.Device().String(); device != b.Device {
		t.note("whether it still keeps within %s on %s cannot be measured on %s", b.Limit, b.Device, device)
		return nil, nil
	}
	i, err := newInspector(t.runtime, t.extractor, r)
	if err != nil {
		return nil, err
	}
	defer i.scorer.Close() // the extractor is the trainer's
	is := recipe.Trial{Backbone: r.Manifest.Backbone.Name, Input: r.Input.Size().String(), Bank: r.Bank.Rows,
		Precision: i.precision, Score: r.Method.Score, Network: cmp.Or(r.Manifest.Backbone.Precision, patchcore.FP32)}
	if was := b.Trials[len(b.Trials)-1]; was.Precision == is.Precision && cmp.Or(was.Score, patchcore.Max) == is.Score &&
		cmp.Or(was.Network, patchcore.FP32) == is.Network && was.Bank >= is.Bank {
		return nil, nil
	}
	m, err := i.measure(ctx, r, picture.Size{}, Duty{Inspections: proof, Limit: limit,
		Progress: func(_ string, done, total int) { t.tell("as trained", done, total) }})
	if err != nil {
		return nil, err
	}
	m.What = is.Backbone
	is = trial(m, is.Score, limit)
	is.Why += ", measured as it was trained"
	b.Trials = append(slices.Clone(b.Trials), is)
	r.Training.Budget = &b
	text := fmt.Sprintf("as it was trained, with the score %s, a bank of %d in %s and the network in %s, p99 is %.1f ms", is.Score, is.Bank, is.Precision, is.Network, is.P99)
	if !is.Fits {
		return fmt.Errorf("%s, beyond the budget of %s", text, b.Limit), nil
	}
	t.note("%s, within the budget of %s", text, b.Limit)
	return nil, nil
}

// rung is the side of a square of the input's area, and the vectors of the bank.
type rung struct{ side, bank int }

// Settings are tried from the best one on: every backbone on all good rungs, the costliest one first, then the
// poor rungs, which see less than 256x256 pixels or remember less, each with every backbone.
var (
	good = []rung{{384, 16384}, {384, 4096}, {320, 16384}, {320, 4096}, {256, 16384}, {256, 8192}, {256, 4096}, {256, DefaultBank}}
	poor = []rung{{224, DefaultBank}, {192, 1024}, {128, 512}}
)

const (
	glances = 10  // inspections that tell whether a setting can fit at all
	proof   = 200 // inspections whose p99 is held against the budget
)

// Choose measures this machine, on the config's device, and picks the backbone, the input and the bank: those
// that keep p99 of an inspection within the budget. A costlier backbone is taken before a larger input,
// and that before a larger bank. camera is the size of the line's pictures, whose shape the input has and
// beyond whose area it does not grow. Backbones are the config's, or all that can be named where it names none.
// Precisions and score are o's. Where those are training's to decide, an int8 bank is reckoned with where the device has one,
// the network in fp32 and the default score; training then measures again what it came to. Where nothing fits, the
// choice beside the error has what was tried.
func Choose(ctx context.Context, cfg Config, folders Folders, o TrainOptions, camera picture.Size, budget time.Duration, progress Progress) (Choice, error) {
	if budget <= 0 {
		return Choice{}, hint.New(hint.Usage, fmt.Errorf("a budget of %s is no time", budget), "give the time that an inspection may take, as 50ms")
	}
	o.fill()
	if err := o.check(cfg.Device); err != nil {
		return Choice{}, err
	}
	backbones, err := candidates(cfg, folders, o.Note)
	if err != nil {
		return Choice{}, err
	}
	m, err := NewMeasurer(cfg, folders, camera)
	if err != nil {
		return Choice{}, err
	}
	like := Setting{Options: patchcore.Options{Score: o.Score, TopK: o.TopK, Precision: o.Precision}, Computes: o.BackbonePrecision}
	if like.Precision == Auto {
		like.Precision = precisionOn(m.runtime.Device(), patchcore.Int8)
	}
	if like.Computes == Auto {
		like.Computes = patchcore.FP32
	}
	s := &search{measure: m.Measure, device: m.runtime.Device().String(), camera: camera, budget: budget, like: like, progress: progress}
	return s.choose(ctx, backbones)
}

// candidates are the backbones that a recipe could be trained with: the config's, or all that can be named. One that is
// damaged is named to note and left out; the default must be whole.
func candidates(cfg Config, folders Folders, note func(string)) ([]network.Backbone, error) {
	first, err := network.FindBackbone(cfg.Backbone, folders.Backbones)
	if err != nil || cfg.Backbone != "" {
		return []network.Backbone{first}, err
	}
	all := []network.Backbone{first}
	for _, found := range network.ListBackbones(folders.Backbones) {
		b, err := network.ReadBackbone(found.Path)
		if err != nil {
			if note != nil {
				note(fmt.Sprintf("a backbone is left out of the choice: %v", err))
			}
			continue
		}
		if !slices.ContainsFunc(all, func(o network.Backbone) bool { return o.SHA256 == b.SHA256 }) {
			all = append(all, b)
		}
	}
	return all, nil
}

// search tries one setting after the other.
type search struct {
	measure  func(context.Context, Setting, Duty) (Timing, error)
	device   string
	camera   picture.Size
	budget   time.Duration
	like     Setting // all but backbone, input and bank
	progress Progress
	tried    []recipe.Trial
}

func (s *search) choose(ctx context.Context, backbones []network.Backbone) (Choice, error) {
	// The costliest backbone first, by a glance at each.
	cost := map[string]float64{}
	for _, b := range backbones {
		t, err := s.measure(ctx, s.setting(b, rung{256, DefaultBank}), Duty{Inspections: glances, Progress: s.progress})
		if err != nil {
			return Choice{}, err
		}
		cost[b.SHA256] = t.Network.P50
	}
	slices.SortStableFunc(backbones, func(a, b network.Backbone) int { return cmp.Compare(cost[b.SHA256], cost[a.SHA256]) })
	var settings []Setting
	for _, b := range backbones {
		for _, step := range good {
			settings = append(settings, s.setting(b, step))
		}
	}
	for _, step := range poor {
		for _, b := range backbones {
			settings = append(settings, s.setting(b, step))
		}
	}
	for _, setting := range settings {
		if slices.ContainsFunc(s.tried, setting.is) {
			continue
		}
		fits, err := s.try(ctx, setting)
		if err != nil {
			return Choice{}, err
		}
		if fits {
			return Choice{setting, s.tally()}, nil
		}
	}
	least := slices.MinFunc(s.tried, func(a, b recipe.Trial) int { return cmp.Compare(a.P50, b.P50) })
	return Choice{Budget: s.tally()}, hint.New(hint.Failure,
		fmt.Errorf("nothing keeps within %s on %s: the fastest was %s at %s with %d vectors, p50 %.1f ms, p99 %.1f ms", s.budget, s.device, least.Backbone, least.Input, least.Bank, least.P50, least.P99),
		"give more time, a smaller backbone or a faster device; 'linectl bench' shows where the time goes")
}

// tally is what a recipe keeps of the search.
func (s *search) tally() recipe.Budget {
	return recipe.Budget{Limit: s.budget.String(), Device: s.device, Trials: s.tried}
}

// setting is a rung for the camera's shape, and 256x256 where a larger input would exceed the camera's picture.
func (s *search) setting(b network.Backbone, step rung) Setting {
	size := shaped(s.camera, step.side, b.Multiple)
	if s.camera != (picture.Size{}) && step.side > 256 && size.Width*size.Height > s.camera.Width*s.camera.Height {
		size = shaped(s.camera, 256, b.Multiple)
	}
	setting := s.like
	setting.Backbone, setting.Size, setting.Bank = b, size, step.bank
	return setting
}

// is tells whether the setting is what a trial measured.
func (s Setting) is(t recipe.Trial) bool {
	return t.Backbone == s.Backbone.Name && t.Input == s.Size.String() && t.Bank == s.Bank
}

// try measures a setting: a glance, and where that fits, long enough for a p99.
func (s *search) try(ctx context.Context, setting Setting) (bool, error) {
	for _, d := range []Duty{{Inspections: glances}, {Inspections: proof, Limit: s.budget}} {
		d.Progress = s.progress
		t, err := s.measure(ctx, setting, d)
		if err != nil {
			return false, err
		}
		result := trial(t, setting.Score, s.budget)
		if d.Inspections == glances && result.P50 <= millis(s.budget) {
			continue // a glance tells nothing of the p99
		}
		s.tried = append(s.tried, result)
		if !result.Fits {
			return false, nil
		}
	}
	return true, nil
}

// shaped is the input of the camera's shape with about the area of a square of the given side.
func shaped(camera picture.Size, side, multiple int) picture.Size {
	ratio := 1.0
	if camera.Width > 0 && camera.Height > 0 {
		ratio = math.Sqrt(camera.Shape())
	}
	to := func(length float64) int {
		return max(multiple, int(math.Round(length/float64(multiple)))*multiple)
	}
	return picture.Size{Width: to(float64(side) * ratio), Height: to(float64(side) / ratio)}
}
