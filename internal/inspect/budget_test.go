package inspect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"linectl/internal/hint"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
)

// machine is one on which the network takes its backbone's time for each 256x256 pixels, the bank a
// millisecond for each 1024 vectors there, and one inspection in fifty twice as long.
func machine(cost map[string]float64) func(context.Context, Setting, Duty) (Timing, error) {
	return func(_ context.Context, s Setting, d Duty) (Timing, error) {
		area := float64(s.Size.Width*s.Size.Height) / (256 * 256)
		n := cost[s.Backbone.Name] * area
		whole := n + area*float64(s.Bank)/1024
		t := Timing{What: s.Backbone.Name, Input: s.Size, Bank: s.Bank, Precision: s.Precision, Computes: s.Computes, Inspections: d.Inspections,
			Network: Latency{P50: n}, Whole: Latency{P50: whole, P95: whole, P99: whole, Max: 2 * whole}}
		if d.Inspections >= 50 {
			t.Whole.P99 = 2 * whole
		}
		return t, nil
	}
}

func backbones(names ...string) []network.Backbone {
	all := make([]network.Backbone, len(names))
	for i, name := range names {
		all[i].Name, all[i].SHA256, all[i].Multiple = name, name, 32
	}
	return all
}

func TestChoose(t *testing.T) {
	cost := map[string]float64{"small": 5, "large": 20}
	like := Setting{Options: patchcore.Options{Score: patchcore.MeanTopK, TopK: 3, Precision: patchcore.FP32}, Computes: patchcore.Int8}
	large := picture.Size{Width: 1024, Height: 1024}
	for _, test := range []struct {
		name     string
		budget   time.Duration
		camera   picture.Size
		backbone string
		size     string
		bank     int
	}{
		{"plenty", time.Second, large, "large", "384x384", 16384},
		{"no more than the camera sees", time.Second, picture.Size{Width: 300, Height: 300}, "large", "256x256", 16384},
		{"the camera's shape", time.Second, picture.Size{Width: 1600, Height: 900}, "large", "512x288", 16384},
		{"a smaller bank", 50 * time.Millisecond, large, "large", "256x256", 4096},
		{"a smaller backbone", 35 * time.Millisecond, large, "small", "320x320", 4096},
		{"a smaller input", 12 * time.Millisecond, large, "small", "224x224", 2048},
	} {
		s := &search{measure: machine(cost), camera: test.camera, budget: test.budget, like: like}
		c, err := s.choose(t.Context(), backbones("small", "large"))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if c.Backbone.Name != test.backbone || c.Size.String() != test.size || c.Bank != test.bank {
			t.Errorf("%s: chose %s, %s, %d; want %s, %s, %d", test.name, c.Backbone.Name, c.Size, c.Bank, test.backbone, test.size, test.bank)
		}
		if c.Options != like.Options || c.Computes != like.Computes {
			t.Errorf("%s: chose %+v, not as %+v", test.name, c.Setting, like)
		}
		trials := c.Budget.Trials
		last := trials[len(trials)-1]
		if !last.Fits || last.Measured != proof || last.P99 > float64(test.budget.Milliseconds()) || last.Bank != c.Bank ||
			last.Precision != like.Precision || last.Score != like.Score || last.Network != like.Computes {
			t.Errorf("%s: its proof is %+v", test.name, last)
		}
		for _, tried := range trials[:len(trials)-1] {
			if tried.Fits || tried.P99 <= float64(test.budget.Milliseconds()) || tried.Why == "" {
				t.Errorf("%s: passed over %+v", test.name, tried)
			}
		}
	}
}

func TestChooseRefuses(t *testing.T) {
	s := &search{measure: machine(map[string]float64{"small": 5}), budget: time.Millisecond}
	if _, err := s.choose(t.Context(), backbones("small")); err == nil || hint.Of(err) == "" ||
		!strings.Contains(err.Error(), "nothing keeps within 1ms") || !strings.Contains(err.Error(), "the fastest was small at 128x128 with 512 vectors") {
		t.Errorf("a budget that nothing keeps: %v", err)
	}
	broken := errors.New("broken")
	s = &search{measure: func(context.Context, Setting, Duty) (Timing, error) { return Timing{}, broken }, budget: time.Second}
	if _, err := s.choose(t.Context(), backbones("small")); !errors.Is(err, broken) {
		t.Errorf("a measurement that fails: %v", err)
	}
	if _, err := Choose(t.Context(), DefaultConfig(), Folders{}, TrainOptions{}, picture.Size{}, 0, nil); err == nil || hint.KindOf(err) != hint.Usage {
		t.Errorf("no budget: %v", err)
	}
}

// TestDamagedBackboneIsNamed: one among others is named and left out of the choice.
func TestDamagedBackboneIsNamed(t *testing.T) {
	whole, err := os.ReadDir("../../backbones")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for _, file := range whole {
		from, err := filepath.Abs(filepath.Join("../../backbones", file.Name()))
		if err == nil {
			err = os.Symlink(from, filepath.Join(folder, file.Name()))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"broken.onnx", "broken.toml"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("nothing"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var notes []string
	all, err := candidates(DefaultConfig(), Folders{Backbones: folder}, func(text string) { notes = append(notes, text) })
	if err != nil || len(all) < 2 || len(notes) != 1 || !strings.Contains(notes[0], "a backbone is left out of the choice") || !strings.Contains(notes[0], "broken") {
		t.Errorf("%d backbones, notes %q, %v", len(all), notes, err)
	}
}

// TestBudgetIsOfWhatWasTrained: a recipe that is not what its budget has measured is measured as it is. Where that takes too
// long none is made, and where pictures were added it is said.
func TestBudgetIsOfWhatWasTrained(t *testing.T) {
	cfg, folders, o := bench(t)
	var notes []string
	o.Note = func(text string) { notes = append(notes, text) }
	was := recipe.Trial{Bank: 200, Precision: patchcore.Int8, Score: patchcore.Max, Network: patchcore.FP32, Fits: true}
	budget := func(limit string, last recipe.Trial) *recipe.Budget {
		return &recipe.Budget{Limit: limit, Device: network.CPU, Trials: []recipe.Trial{last}}
	}
	o.Precision, o.Score, o.Budget = patchcore.FP32, patchcore.Max, budget("1us", was)
	r, err := Train(t.Context(), cfg, folders, o, nil)
	if r != nil || err == nil || !strings.HasPrefix(err.Error(), "no version is made: as it was trained, with the score max, a bank of 200 in fp32 and the network in fp32, p99 is ") ||
		!strings.Contains(hint.Of(err), "--budget 1us --precision fp32 --score max") {
		t.Errorf("%v (%s)", err, hint.Of(err))
	}
	was.Precision = patchcore.FP32
	o.Budget = budget("1us", was)
	if r, err = Train(t.Context(), cfg, folders, o, nil); err != nil || len(r.Training.Budget.Trials) != 1 {
		t.Fatalf("as it was measured: %v", err)
	}
	more := t.TempDir()
	for n := range 4 {
		save(t, filepath.Join(more, fmt.Sprintf("%d.png", n)), plate(uint64(7000+n), true))
	}
	grown, err := Add(t.Context(), cfg, folders, TrainOptions{Name: o.Name, Good: more, Note: o.Note}, nil)
	if err != nil {
		t.Fatal(err)
	}
	trials := grown.Training.Budget.Trials
	if last := trials[len(trials)-1]; len(trials) != 2 || last.Fits || last.Bank != grown.Bank.Rows || last.Measured < 1 || !strings.HasSuffix(last.Why, ", measured as it was trained") {
		t.Errorf("%+v", trials)
	}
	if text := strings.Join(notes, "\n"); !strings.Contains(text, "beyond the budget of 1us; training it anew") {
		t.Errorf("notes:\n%s", text)
	}
	o.Name, o.Budget = "other", budget("1h", recipe.Trial{Bank: 200, Precision: patchcore.Int8})
	if r, err = Train(t.Context(), cfg, folders, o, nil); err != nil {
		t.Fatal(err)
	}
	if last := r.Training.Budget.Trials[1]; !last.Fits || last.Precision != patchcore.FP32 || last.Measured != proof || !(last.P99 > 0) || last.Input != "64x64" {
		t.Errorf("%+v", last)
	}
}
