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
	Tried []Trial
}

// Budget is what a recipe keeps of the choice.
func (c Choice) Budget(limit time.Duration) *recipe.Budget {
	b := &recipe.Budget{Limit: limit.String()}
	for _, t := range c.Tried {
		b.Device = t.Device
		b.Trials = append(b.Trials, recipe.Trial{Backbone: t.What, Input: t.Input.String(), Bank: t.Bank, Precision: t.Precision,
			Measured: t.Inspections, P50: t.Whole.P50, P99: t.Whole.P99, Fits: t.Fits, Why: t.Why})
	}
	return b
}

// Trial is one setting that was measured. It was chosen if it is the last one.
type Trial struct {
	Timing
	Fits bool   `json:"fits"`
	Why  string `json:"why"`
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
// beyond whose area it does not grow. Backbones are the config's, or all that can be named where it names none. An
// int8 bank is reckoned with where the device has one; training refuses it to a recipe that it does not suit, whose
// time is then longer. Where nothing fits, the choice beside the error has what was tried.
func Choose(ctx context.Context, cfg Config, folders Folders, camera picture.Size, budget time.Duration, progress Progress) (Choice, error) {
	if budget <= 0 {
		return Choice{}, hint.New(hint.Usage, fmt.Errorf("a budget of %s is no time", budget), "give the time that an inspection may take, as 50ms")
	}
	backbones, err := candidates(cfg, folders)
	if err != nil {
		return Choice{}, err
	}
	m, err := NewMeasurer(cfg, folders, camera)
	if err != nil {
		return Choice{}, err
	}
	precision := patchcore.FP32
	if m.runtime.Device().Int8() {
		precision = patchcore.Int8
	}
	s := &search{measure: m.Measure, camera: camera, budget: budget, precision: precision, progress: progress}
	return s.choose(ctx, backbones)
}

// candidates are the backbones that a recipe could be trained with: the config's, or all that can be named.
func candidates(cfg Config, folders Folders) ([]network.Backbone, error) {
	first, err := network.FindBackbone(cfg.Backbone, folders.Backbones)
	if err != nil || cfg.Backbone != "" {
		return []network.Backbone{first}, err
	}
	all := []network.Backbone{first}
	for _, found := range network.ListBackbones(folders.Backbones) {
		b, err := network.ReadBackbone(found.Path)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(all, func(o network.Backbone) bool { return o.SHA256 == b.SHA256 }) {
			all = append(all, b)
		}
	}
	return all, nil
}

// search tries one setting after the other.
type search struct {
	measure   func(context.Context, Setting, Duty) (Timing, error)
	camera    picture.Size
	budget    time.Duration
	precision string
	progress  Progress
	tried     []Trial
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
			return Choice{setting, s.tried}, nil
		}
	}
	least := slices.MinFunc(s.tried, func(a, b Trial) int { return cmp.Compare(a.Whole.P50, b.Whole.P50) })
	return Choice{Tried: s.tried}, hint.New(hint.Failure,
		fmt.Errorf("nothing keeps within %s on %s: the fastest was %s at %s with %d vectors, p50 %.1f ms, p99 %.1f ms", s.budget, least.Device, least.What, least.Input, least.Bank, least.Whole.P50, least.Whole.P99),
		"give more time, a smaller backbone or a faster device; 'linectl bench' shows where the time goes")
}

// setting is a rung for the camera's shape, and 256x256 where a larger input would exceed the camera's picture.
func (s *search) setting(b network.Backbone, step rung) Setting {
	size := shaped(s.camera, step.side, b.Multiple)
	if s.camera != (picture.Size{}) && step.side > 256 && size.Width*size.Height > s.camera.Width*s.camera.Height {
		size = shaped(s.camera, 256, b.Multiple)
	}
	return Setting{Backbone: b, Size: size, Bank: step.bank, Precision: s.precision, Computes: patchcore.FP32}
}

// is tells whether the setting is what a trial measured.
func (s Setting) is(t Trial) bool {
	return t.What == s.Backbone.Name && t.Input == s.Size && t.Bank == s.Bank
}

// try measures a setting: a glance, and where that fits, long enough for a p99.
func (s *search) try(ctx context.Context, setting Setting) (bool, error) {
	limit := float64(s.budget.Microseconds()) / 1000
	for _, n := range []int{glances, proof} {
		d := Duty{Inspections: n, Progress: s.progress}
		if n == proof {
			d.Limit = s.budget
		}
		t, err := s.measure(ctx, setting, d)
		if err != nil {
			return false, err
		}
		switch {
		case t.Whole.P50 > limit:
			s.tried = append(s.tried, Trial{t, false, "p50 exceeds the budget"})
			return false, nil
		case n == proof && t.Whole.P99 > limit:
			s.tried = append(s.tried, Trial{t, false, "p99 exceeds the budget"})
			return false, nil
		case n == proof:
			s.tried = append(s.tried, Trial{t, true, "p99 is within the budget"})
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
