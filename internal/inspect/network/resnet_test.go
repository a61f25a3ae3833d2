package network

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// formula is what golden.py calls noise.
func formula(n, k int) []float64 {
	values := make([]float64, n)
	for i := range values {
		x := uint32(i) + uint32(k*1000003)
		for range 2 {
			x ^= x >> 16
			x *= 0x45d9f3b
		}
		x ^= x >> 16
		values[i] = float64(x) / (1 << 32)
	}
	return values
}

// safetensors writes weights of the given names and shapes, made as golden.py makes them. Of layer4, which is not
// built, only the names matter.
func safetensors(t *testing.T, shapes map[string][]int) []byte {
	t.Helper()
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(shapes)), func(name string) bool { return strings.HasSuffix(name, "num_batches_tracked") })
	header := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
	var body []byte
	for k, name := range names {
		shape, n := shapes[name], 1
		if strings.HasPrefix(name, "layer4") || strings.HasPrefix(name, "fc") {
			shape = []int{1}
		}
		for _, d := range shape {
			n *= d
		}
		begin := len(body)
		for _, u := range formula(n, k) {
			switch {
			case len(shape) > 1:
				u = (u - 0.5) * 2 * math.Sqrt(3/float64(n/shape[0]))
			case strings.HasSuffix(name, "bias"), strings.HasSuffix(name, "running_mean"):
				u -= 0.5
			default:
				u += 0.5
			}
			body = binary.LittleEndian.AppendUint32(body, math.Float32bits(float32(u)))
		}
		header[name] = map[string]any{"dtype": "F32", "shape": shape, "data_offsets": []int{begin, len(body)}}
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), body...)
}

// TestResNetIsTorchvisions: a network that linectl builds from weights gives the features that torchvision's own
// network gives with them. testdata/resnet.json is written by internal/inspect/weights/testdata/golden.py.
func TestResNetIsTorchvisions(t *testing.T) {
	text, err := os.ReadFile("testdata/resnet.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden map[string]struct {
		Shapes map[string][]int
		Layers map[string]struct {
			Shape     []int
			Mean, RMS float64
			Every     int
			Values    []float64
		}
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	r := start(t)
	for name, want := range golden {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "resnet18" {
				t.Skip("the larger network takes seconds")
			}
			dir := t.TempDir()
			file := filepath.Join(dir, name+".safetensors")
			if err := os.WriteFile(file, safetensors(t, want.Shapes), 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := r.Import(Source{File: file}, filepath.Join(dir, "plant"))
			if err != nil {
				t.Fatal(err)
			}
			if b := got.Backbone; b.Mean != ImageNetMean || b.Std != ImageNetStd || b.Multiple != 16 || !slices.Equal(b.PatchOf, []string{"layer2", "layer3"}) {
				t.Errorf("card %+v", b.Card)
			}
			n, err := r.Open(got.Backbone, []string{"layer1", "layer2", "layer3"}, 64, 96)
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			for i, u := range formula(3*96*64, 9999) {
				n.Input.Data()[i] = float32(u*2 - 1)
			}
			if err := n.Run(); err != nil {
				t.Fatal(err)
			}
			for _, f := range n.Features {
				want, data := want.Layers[f.Name], f.Tensor.Data()
				if shape := []int{1, f.Channels, f.Height, f.Width}; !slices.Equal(shape, want.Shape) {
					t.Errorf("%s is %v, want %v", f.Name, shape, want.Shape)
					continue
				}
				var sum, squares, off float64
				for _, v := range data {
					sum += float64(v)
					squares += float64(v) * float64(v)
				}
				for i, v := range want.Values {
					off = max(off, math.Abs(v-float64(data[i*want.Every])))
				}
				mean, rms := sum/float64(len(data)), math.Sqrt(squares/float64(len(data)))
				t.Logf("%s: of %d values the greatest difference is %.1e of the root mean square", f.Name, len(want.Values), off/want.RMS)
				if len(want.Values) < 5 || !(off < 1e-4*want.RMS) || !(math.Abs(mean-want.Mean) < 1e-5*want.RMS) || !(math.Abs(rms-want.RMS) < 1e-5*want.RMS) {
					t.Errorf("%s: mean %g, rms %g, off by %g; torchvision gives mean %g, rms %g", f.Name, mean, rms, off, want.Mean, want.RMS)
				}
			}
		})
	}
}
