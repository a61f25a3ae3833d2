package inspect

import (
	"strings"
	"testing"

	"linectl/internal/hint"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/padim"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
)

// TestMemoryThatTrainingTakes: what fits no usual machine is known, and what trains on all of them is not refused.
func TestMemoryThatTrainingTakes(t *testing.T) {
	// WideResNet-50 at strides from 4 on, 256 x 256.
	wide := []network.Feature{{Layer: network.Layer{Channels: 256}, Width: 64, Height: 64}, {Layer: network.Layer{Channels: 512}, Width: 32, Height: 32}, {Layer: network.Layer{Channels: 1024}, Width: 16, Height: 16}}
	// Two layers of a ResNet-18 from stride 8 on, at 256 x 256 and at 2048 x 2048.
	usual := []network.Feature{{Layer: network.Layer{Channels: 128}, Width: 32, Height: 32}, {Layer: network.Layer{Channels: 256}, Width: 16, Height: 16}}
	large := []network.Feature{{Layer: network.Layer{Channels: 128}, Width: 256, Height: 256}, {Layer: network.Layer{Channels: 256}, Width: 128, Height: 128}}
	for _, test := range []struct {
		what string
		need int64
		want float64 // GB
	}{
		{"PaDiM of a wide network", padim.Memory(wide, padim.DefaultDims(1792)), 15},
		{"PaDiM of a usual one", padim.Memory(usual, padim.DefaultDims(384)), 0.127},
		{"PatchCore of large pictures", patchcore.Memory(large, MostBank), 18.6},
		{"PatchCore of usual ones", patchcore.Memory(usual, DefaultBank), 0.0497},
	} {
		if got := float64(test.need) / 1e9; got < 0.95*test.want || got > 1.05*test.want {
			t.Errorf("%s takes %g GB, want %g", test.what, got, test.want)
		}
	}
	if err := checkMemory(5e9, 5e9, ""); err != nil {
		t.Error(err)
	}
	err := checkMemory(18.6e9, 5e9, "lower --bank")
	if hint.KindOf(err) != hint.Failure || hint.Of(err) != "lower --bank" || err.Error() != "training would take about 18.6 GB of memory; 5 GB are free" {
		t.Errorf("%v, %s", err, hint.Of(err))
	}
	if free, err := freeMemory(); err != nil || free < 1<<20 {
		t.Errorf("%d bytes are free, %v", free, err)
	}
}

// TestTooLargeIsRefused: neither method begins what no machine has the memory for.
func TestTooLargeIsRefused(t *testing.T) {
	side := 1 << 14
	features := []network.Feature{{Layer: network.Layer{Channels: 1792}, Width: side, Height: side}}
	for method, flags := range map[string][]string{recipe.PatchCore: {"--bank", "--size", "--layers"}, recipe.PaDiM: {"--size", "--layers"}} {
		tr := &trainer{options: TrainOptions{Method: method, Bank: MostBank, Size: picture.Size{Width: 8 * side, Height: 8 * side}},
			runtime: new(network.Runtime), extractor: &extractor{network: &network.Network{Features: features}}}
		_, err := tr.newLearner(100)
		if err == nil || !strings.Contains(err.Error(), "of memory; ") {
			t.Errorf("%s: %v", method, err)
		}
		for _, flag := range flags {
			if !strings.Contains(hint.Of(err), flag) {
				t.Errorf("%s: the hint %q lacks %s", method, hint.Of(err), flag)
			}
		}
	}
}
