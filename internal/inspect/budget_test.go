package inspect

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"linectl/internal/hint"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
)

// machine is one on which the network takes its backbone's time for each 256x256 pixels, the bank a
// millisecond for each 1024 vectors there, and one inspection in fifty twice as long.
func machine(cost map[string]float64) func(context.Context, Setting, Duty) (Timing, error) {
	return func(_ context.Context, s Setting, d Duty) (Timing, error) {
		area := float64(s.Size.Width*s.Size.Height) / (256 * 256)
		n := cost[s.Backbone.Name] * area
		whole := n + area*float64(s.Bank)/1024
		t := Timing{What: s.Backbone.Name, Input: s.Size, Bank: s.Bank, Precision: s.Precision, Inspections: d.Inspections,
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
		s := &search{measure: machine(cost), camera: test.camera, budget: test.budget, precision: patchcore.Int8}
		c, err := s.choose(t.Context(), backbones("small", "large"))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if c.Backbone.Name != test.backbone || c.Size.String() != test.size || c.Bank != test.bank {
			t.Errorf("%s: chose %s, %s, %d; want %s, %s, %d", test.name, c.Backbone.Name, c.Size, c.Bank, test.backbone, test.size, test.bank)
		}
		last := c.Tried[len(c.Tried)-1]
		if !last.Fits || last.Inspections != proof || last.Whole.P99 > float64(test.budget.Milliseconds()) || last.Bank != c.Bank {
			t.Errorf("%s: its proof is %+v", test.name, last)
		}
		for _, tried := range c.Tried[:len(c.Tried)-1] {
			if tried.Fits || tried.Whole.P99 <= float64(test.budget.Milliseconds()) || tried.Why == "" {
				t.Errorf("%s: passed over %+v", test.name, tried)
			}
		}
	}
}

func TestChooseRefuses(t *testing.T) {
	s := &search{measure: machine(map[string]float64{"small": 5}), budget: time.Millisecond, precision: patchcore.Int8}
	if _, err := s.choose(t.Context(), backbones("small")); err == nil || hint.Of(err) == "" ||
		!strings.Contains(err.Error(), "nothing keeps within 1ms") || !strings.Contains(err.Error(), "the fastest was small at 128x128 with 512 vectors") {
		t.Errorf("a budget that nothing keeps: %v", err)
	}
	broken := errors.New("broken")
	s = &search{measure: func(context.Context, Setting, Duty) (Timing, error) { return Timing{}, broken }, budget: time.Second}
	if _, err := s.choose(t.Context(), backbones("small")); !errors.Is(err, broken) {
		t.Errorf("a measurement that fails: %v", err)
	}
	if _, err := Choose(t.Context(), DefaultConfig(), Folders{}, picture.Size{}, 0, nil); err == nil || hint.KindOf(err) != hint.Usage {
		t.Errorf("no budget: %v", err)
	}
}
