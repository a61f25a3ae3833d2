package inspect

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"linectl/internal/inspect/network"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
	"linectl/internal/raster"
)

// Latency is how long something took, in milliseconds, over a number of inspections.
type Latency struct {
	P50 float64 `json:"p50_ms"`
	P95 float64 `json:"p95_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// LatencyOf sorts the times; that of none is zero. A percentile is the least time that so many percent of them do not
// exceed.
func LatencyOf(times []time.Duration) Latency {
	if len(times) == 0 {
		return Latency{}
	}
	slices.Sort(times)
	at := func(share float64) float64 {
		i := int(math.Ceil(share*float64(len(times)))) - 1
		return millis(times[max(i, 0)])
	}
	return Latency{at(0.5), at(0.95), at(0.99), at(1)}
}

// Timing is how long inspections took, stage by stage, on one device.
type Timing struct {
	What        string       `json:"what"` // the recipe, or the backbone
	Device      string       `json:"device"`
	Frame       picture.Size `json:"frame"` // the camera's picture
	Input       picture.Size `json:"input"`
	Bank        int          `json:"bank"` // vectors; 0 for PaDiM
	Precision   string       `json:"precision"`
	Computes    string       `json:"backbone_precision"`
	Inspections int          `json:"inspections"`
	Picture     Latency      `json:"picture"` // measured for quality, resized, normalised
	Network     Latency      `json:"network"`
	Score       Latency      `json:"score"`
	Whole       Latency      `json:"whole"`
	AfterPause  float64      `json:"after_pause_ms,omitempty"` // the whole of the first inspection after a pause
}

// Duty is how much is measured.
type Duty struct {
	Inspections int
	Limit       time.Duration // ends it as soon as p99 must exceed this; 0 for none
	Pause       time.Duration // then so long nothing and one inspection more; 0 for none
	Progress    Progress
}

// warmUp is how many inspections come before those that are measured.
const warmUp = 5

// stages is an inspection without its verdict.
type stages struct {
	extractor *extractor
	scorer    scorer
}

// once inspects a frame and returns how long picture, network and score took.
func (s stages) once(frame part.Frame) (took [3]time.Duration, err error) {
	for i, stage := range []func() error{
		func() error {
			if _, err := s.extractor.prepare.Measure(frame); err != nil {
				return err
			}
			return s.extractor.load(frame)
		},
		s.extractor.run,
		func() error { _, _, err := s.scorer.Score(); appearance(s.scorer); return err },
	} {
		begun := time.Now()
		if err := stage(); err != nil {
			return took, err
		}
		took[i] = time.Since(begun)
	}
	return took, nil
}

// measure inspects the frames in turn.
func (s stages) measure(ctx context.Context, frames []part.Frame, d Duty, t Timing) (Timing, error) {
	var times [4][]time.Duration
	over := 0
	for i := range warmUp + d.Inspections {
		if err := ctx.Err(); err != nil {
			return t, err
		}
		took, err := s.once(frames[i%len(frames)])
		if err != nil {
			return t, err
		}
		if i < warmUp {
			continue
		}
		for stage, d := range took {
			times[stage] = append(times[stage], d)
		}
		whole := took[0] + took[1] + took[2]
		times[3] = append(times[3], whole)
		if d.Limit > 0 && whole > d.Limit {
			if over++; over > d.Inspections/100 {
				break
			}
		}
		if d.Progress != nil {
			d.Progress(t.What+" "+t.Input.String(), i-warmUp+1, d.Inspections)
		}
	}
	t.Frame, t.Inspections = picture.Size{Width: frames[0].Width, Height: frames[0].Height}, len(times[3])
	t.Picture, t.Network, t.Score, t.Whole = LatencyOf(times[0]), LatencyOf(times[1]), LatencyOf(times[2]), LatencyOf(times[3])
	if d.Pause > 0 {
		select {
		case <-ctx.Done():
			return t, ctx.Err()
		case <-time.After(d.Pause):
		}
		took, err := s.once(frames[0])
		if err != nil {
			return t, err
		}
		t.AfterPause = LatencyOf([]time.Duration{took[0] + took[1] + took[2]}).Max
	}
	return t, nil
}

// BenchRecipe measures the inspection of a recipe's own pictures by it, at the size of the camera's; zero takes the size
// that the recipe was trained from.
func BenchRecipe(ctx context.Context, cfg Config, folders Folders, r *recipe.Recipe, camera picture.Size, d Duty) (Timing, error) {
	i, err := OpenRecipe(cfg, folders, r, slog.New(slog.DiscardHandler))
	if err != nil {
		return Timing{}, err
	}
	defer i.Close()
	return i.measure(ctx, r, camera, d)
}

// measure is BenchRecipe by an inspector of the recipe. Golden pictures are kept smaller than the camera's, and the time that a
// picture's quality and its resizing take grows with it.
func (i *Inspector) measure(ctx context.Context, r *recipe.Recipe, camera picture.Size, d Duty) (Timing, error) {
	camera = cmp.Or(camera, r.Training.Frame)
	var frames []part.Frame
	for _, g := range r.Golden {
		frame, err := raster.Decode(g.Picture)
		if err == nil && camera != (picture.Size{}) {
			frame, err = picture.Resized(frame, camera)
		}
		if err != nil {
			return Timing{}, fmt.Errorf("golden picture %s: %w", g.File, err)
		}
		frames = append(frames, frame)
	}
	if len(frames) == 0 { // format 1 keeps none
		frames = scene(cmp.Or(camera, benchFrame), 4)
	}
	return stages{i.extractor, i.scorer}.measure(ctx, frames, d, Timing{What: fmt.Sprintf("%s@%d", r.Name, r.Version), Device: i.device,
		Input: r.Input.Size(), Bank: r.Bank.Rows, Precision: i.precision,
		Computes: cmp.Or(r.Manifest.Backbone.Precision, patchcore.FP32)})
}

// Setting is one choice of everything that the time per part depends on.
type Setting struct {
	patchcore.Options
	Backbone network.Backbone
	Size     picture.Size // of the network's input
	Bank     int
	Computes string // the precision of the network: patchcore.FP32 or patchcore.Int8
}

// benchFrame is the camera picture of measurements that are given none.
var benchFrame = picture.Size{Width: 1280, Height: 960}

// Measurer measures settings on one device.
type Measurer struct {
	runtime *network.Runtime
	frames  []part.Frame
}

// NewMeasurer starts the config's device. The pictures are rendered, of the size of the camera's; zero
// takes 1280x960.
func NewMeasurer(cfg Config, folders Folders, camera picture.Size) (*Measurer, error) {
	runtime, err := start(cfg, folders)
	if err != nil {
		return nil, err
	}
	return &Measurer{runtime, scene(cmp.Or(camera, benchFrame), 4)}, nil
}

// Runtime is what it measures on.
func (m *Measurer) Runtime() *network.Runtime { return m.runtime }

// Measure makes a bank of the rendered pictures' own patches and inspects them by it.
func (m *Measurer) Measure(ctx context.Context, s Setting, d Duty) (Timing, error) {
	t := Timing{What: s.Backbone.Name, Device: m.runtime.Device().String(), Input: s.Size, Bank: s.Bank, Precision: s.Precision, Computes: s.Computes}
	in := recipe.Input{Width: s.Size.Width, Height: s.Size.Height, Resize: picture.Resize, Mean: s.Backbone.Mean, Std: s.Backbone.Std}
	if s.Computes == patchcore.Int8 {
		model, err := quantize(m.runtime, s.Backbone, s.Backbone.PatchOf, in, func(look func(part.Frame) error) error {
			for _, frame := range m.frames {
				if err := look(frame); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return t, err
		}
		s.Backbone = s.Backbone.Computing(model)
	}
	e, err := newExtractor(m.runtime, s.Backbone, s.Backbone.PatchOf, in)
	if err != nil {
		return t, err
	}
	defer e.close()
	bank, means, err := m.bank(ctx, e, s.Bank)
	if err != nil {
		return t, err
	}
	var whole *patchcore.Appearance
	if s.Score == patchcore.MaxAppearance {
		if whole, err = patchcore.NewAppearance(means, patchcore.Shrinkage, patchcore.Weighing{Weight: 1}); err != nil {
			return t, err
		}
	}
	scorer, err := patchcore.NewScorer(m.runtime, e.network.Features, bank, whole, s.Options)
	if err != nil {
		return t, err
	}
	defer scorer.Close()
	return stages{e, scorer}.measure(ctx, m.frames, d, t)
}

// bank is as many patches of the pictures as it shall have vectors, each changed a little so that no distance is
// zero, as none is on a line; and the means of the pictures.
func (m *Measurer) bank(ctx context.Context, e *extractor, rows int) (b patchcore.Bank, means patchcore.Means, err error) {
	embedder, err := patchcore.NewEmbedder(m.runtime, e.network.Features, DefaultSeed)
	if err != nil {
		return b, means, err
	}
	defer embedder.Close()
	random := rand.New(rand.NewPCG(DefaultSeed, 0))
	b = patchcore.Bank{Rows: rows, Dim: embedder.Dim, Vectors: make([]float32, 0, rows*embedder.Dim)}
	means.Dim = embedder.Dim
	for i := 0; len(b.Vectors) < rows*b.Dim || means.Rows < len(m.frames); i++ {
		if err := ctx.Err(); err != nil {
			return b, means, err
		}
		if err := e.load(m.frames[i%len(m.frames)]); err != nil {
			return b, means, err
		}
		if err := e.run(); err != nil {
			return b, means, err
		}
		if err := embedder.Run(); err != nil {
			return b, means, err
		}
		means.Add(embedder.Mean.Data())
		patches := embedder.Patches.Data()
		for _, v := range patches[:min(len(patches), rows*b.Dim-len(b.Vectors))] {
			b.Vectors = append(b.Vectors, v*float32(1+0.1*random.NormFloat64()))
		}
	}
	return b, means, nil
}

// scene is n rendered pictures that differ: a bright disc on a grained plate.
func scene(size picture.Size, n int) []part.Frame {
	frames := make([]part.Frame, n)
	for k := range frames {
		random := rand.New(rand.NewPCG(DefaultSeed, uint64(k)))
		frame := part.Frame{Camera: "rendered", Width: size.Width, Height: size.Height, Pixels: make([]byte, 3*size.Width*size.Height)}
		radius := float64(min(size.Width, size.Height)) * (0.3 + 0.02*float64(k))
		for i := range size.Width * size.Height {
			x, y := float64(i%size.Width-size.Width/2), float64(i/size.Width-size.Height/2)
			grey := 80 + 20*math.Sin(x/9)
			if math.Hypot(x, y) < radius {
				grey = 170 + 10*math.Cos(y/17)
			}
			for c := range 3 {
				frame.Pixels[3*i+c] = byte(grey + 12*random.Float64())
			}
		}
		frames[k] = frame
	}
	return frames
}
