package patchcore

import (
	"fmt"
	"math"
	"testing"

	"linectl/internal/inspect/golden"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/smooth"
)

// TestGolden holds scores and maps against those of anomalib 2.7's own PatchcoreModel on the same feature
// maps and the same bank (tools/parity/golden.py), of a ResNet-18 and a WideResNet-50-2.
func TestGolden(t *testing.T) {
	r := startOn(t, golden.Device())
	precisions := []string{FP32}
	if r.Device().Int8() {
		precisions = append(precisions, Int8)
	}
	for _, name := range []string{"resnet18", "wide_resnet50_2"} {
		arrays := golden.Read(t, "testdata/"+name+".safetensors.gz")
		bank := Bank{Rows: arrays["bank"].Shape[0], Dim: arrays["bank"].Shape[1], Vectors: arrays["bank"].Values}
		pictures := 0
		for ; arrays[fmt.Sprint(pictures, ".max")].Values != nil; pictures++ {
			prefix := fmt.Sprint(pictures, ".")
			features := goldenFeatures(t, r, arrays, prefix, "layer2", "layer3")
			smoother, err := smooth.New(smooth.Nearest, features[0].Width, features[0].Height, 64, 64)
			if err != nil {
				t.Fatal(err)
			}
			for _, precision := range precisions {
				for _, score := range []string{Max, Reweighted} {
					s, err := NewScorer(r, features, bank, nil, Options{Score: score, Precision: precision})
					if err != nil {
						t.Fatal(err)
					}
					got, m, err := s.Score()
					s.Close()
					if err != nil {
						t.Fatal(err)
					}
					within(t, fmt.Sprintf("%s, picture %d, %s in %s", name, pictures, score, precision), got, arrays[prefix+score].Values[0], 1e-3)
					tolerance := 1e-3
					if precision == Int8 {
						tolerance = 2e-2 // distances but the greatest are rounded
					}
					want := arrays[prefix+"map"].Values
					for i, v := range smoother.Map(m.Cells) {
						within(t, fmt.Sprintf("%s, picture %d, pixel %d of the map in %s", name, pictures, i, precision), float64(v), want[i], tolerance)
					}
				}
			}
		}
		if pictures == 0 {
			t.Errorf("%s: the file holds no picture", name)
		}
	}
}

func within(t *testing.T, what string, got float64, want float32, relative float64) {
	t.Helper()
	if !(math.Abs(got-float64(want)) <= relative*math.Abs(float64(want))) {
		t.Errorf("%s: %g, want %g", what, got, want)
	}
}

// goldenFeatures puts stored feature maps into tensors.
func goldenFeatures(t *testing.T, r *network.Runtime, arrays map[string]golden.Array, prefix string, layers ...string) []network.Feature {
	t.Helper()
	var features []network.Feature
	for _, layer := range layers {
		a := arrays[prefix+layer]
		tensor, err := r.NewTensor(1, a.Shape[0], a.Shape[1], a.Shape[2])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(tensor.Close)
		copy(tensor.Data(), a.Values)
		features = append(features, network.Feature{Layer: network.Layer{Channels: a.Shape[0]}, Height: a.Shape[1], Width: a.Shape[2], Tensor: tensor})
	}
	return features
}
