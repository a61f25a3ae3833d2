package padim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"linectl/internal/inspect/golden"
	"linectl/internal/inspect/network"
	"linectl/internal/part"
)

func start(t testing.TB) *network.Runtime {
	t.Helper()
	return startOn(t, network.CPU)
}

func startOn(t testing.TB, device string) *network.Runtime {
	t.Helper()
	r, err := network.Start("", device, 1)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// tensors makes features of the shapes [channels, height, width].
func tensors(t testing.TB, r *network.Runtime, shapes ...[3]int) []network.Feature {
	t.Helper()
	var features []network.Feature
	for _, s := range shapes {
		tensor, err := r.NewTensor(1, s[0], s[1], s[2])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(tensor.Close)
		features = append(features, network.Feature{Layer: network.Layer{Channels: s[0]}, Height: s[1], Width: s[2], Tensor: tensor})
	}
	return features
}

// TestGolden fits and scores as anomalib 2.7's own PadimModel did on the same feature maps
// (tools/parity/golden.py), of a ResNet-18 and a WideResNet-50-2.
func TestGolden(t *testing.T) {
	r := startOn(t, golden.Device())
	layers := []string{"layer1", "layer2", "layer3"}
	for _, name := range []string{"resnet18", "wide_resnet50_2"} {
		arrays := golden.Read(t, "testdata/"+name+".safetensors.gz")
		var shapes [][3]int
		for _, layer := range layers {
			shapes = append(shapes, [3]int(arrays["0."+layer].Shape))
		}
		features := tensors(t, r, shapes...)
		load := func(prefix string) bool {
			for i, layer := range layers {
				a, ok := arrays[prefix+layer]
				if !ok {
					return false
				}
				copy(features[i].Tensor.Data(), a.Values)
			}
			return true
		}
		var dims []int32
		for _, v := range arrays["dims"].Values {
			dims = append(dims, int32(v))
		}
		slices.Sort(dims) // a distance does not depend on the order
		fitter, err := NewFitter(features, dims, 2)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; load(fmt.Sprintf("training%d.", i)); i++ {
			if err := fitter.Add(); err != nil {
				t.Fatal(err)
			}
		}
		model, err := fitter.Model()
		if err != nil {
			t.Fatal(err)
		}
		want := arrays["0.map"]
		s, err := NewScorer(features, model, want.Shape[1], want.Shape[0], 2)
		if err != nil {
			t.Fatal(err)
		}
		load("0.")
		score, m, err := s.Score()
		if err != nil {
			t.Fatal(err)
		}
		within(t, name+": score", score, arrays["0.score"].Values[0])
		for i, v := range s.Smooth(m) {
			within(t, fmt.Sprintf("%s: pixel %d", name, i), float64(v), want.Values[i])
		}
	}
}

func within(t *testing.T, what string, got float64, want float32) {
	t.Helper()
	if !(math.Abs(got-float64(want)) <= 1e-3*math.Abs(float64(want))) {
		t.Errorf("%s: %g, want %g", what, got, want)
	}
}

// TestNoNumber: a number that is not finite is never learned and never comes out as a score.
func TestNoNumber(t *testing.T) {
	r := start(t)
	features := tensors(t, r, [3]int{3, 4, 5}, [3]int{2, 2, 3})
	random := rand.New(rand.NewPCG(1, 2))
	fill := func() {
		for _, f := range features {
			for i := range f.Tensor.Data() {
				f.Tensor.Data()[i] = random.Float32()
			}
		}
	}
	fitter, err := NewFitter(features, ChooseDims(5, 4, 1), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fitter.Model(); err == nil {
		t.Error("a model was learned from nothing")
	}
	for range 6 {
		fill()
		if err := fitter.Add(); err != nil {
			t.Fatal(err)
		}
	}
	model, err := fitter.Model()
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewScorer(features, model, 40, 32, 1)
	if err != nil {
		t.Fatal(err)
	}
	if score, _, err := s.Score(); err != nil || !(score > 0) {
		t.Fatalf("score %g, %v", score, err)
	}
	for _, poison := range []float32{float32(math.NaN()), float32(math.Inf(1)), 3e38} {
		for i := range features { // every channel of one layer, so that a kept one is among them
			fill()
			data := features[i].Tensor.Data()
			for j := range data {
				data[j] = poison
			}
			if score, _, err := s.Score(); err != nil || !math.IsNaN(score) {
				t.Errorf("with %g in layer %d the score is %g, %v", poison, i, score, err)
			}
			if poison < 1e38 || math.IsInf(float64(poison), 0) {
				if err := fitter.Add(); err == nil {
					t.Errorf("%g was learned", poison)
				}
			}
		}
	}
}

// TestCoresDoNotCount: what is learned and scored is the same, bit for bit, on however many cores, also where they are
// more than cells.
func TestCoresDoNotCount(t *testing.T) {
	features := tensors(t, start(t), [3]int{6, 3, 5}, [3]int{4, 2, 3})
	var want *Model
	var wanted part.Map
	for _, cores := range []int{1, 2, 3, 40} {
		random := rand.New(rand.NewPCG(3, 4))
		fitter, err := NewFitter(features, ChooseDims(10, 7, 1), cores)
		if err != nil {
			t.Fatal(err)
		}
		for range 9 {
			for _, f := range features {
				for i := range f.Tensor.Data() {
					f.Tensor.Data()[i] = random.Float32()
				}
			}
			if err := fitter.Add(); err != nil {
				t.Fatal(err)
			}
		}
		model, err := fitter.Model()
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewScorer(features, model, 40, 32, cores)
		if err != nil {
			t.Fatal(err)
		}
		_, m, err := s.Score()
		if err != nil {
			t.Fatal(err)
		}
		if cores == 1 {
			want, wanted = model, m
		}
		if !reflect.DeepEqual(model, want) || !reflect.DeepEqual(m, wanted) {
			t.Errorf("%d cores: another model or map", cores)
		}
	}
}

// BenchmarkScore is a picture of 256x256 by layers 1 to 3 of a ResNet-18, 100 of their channels kept.
func BenchmarkScore(b *testing.B) {
	for _, cores := range []int{1, 2} {
		b.Run(fmt.Sprintf("cores=%d", cores), func(b *testing.B) {
			features := tensors(b, start(b), [3]int{64, 64, 64}, [3]int{128, 32, 32}, [3]int{256, 16, 16})
			fitter, err := NewFitter(features, ChooseDims(448, 100, 1), cores)
			if err != nil {
				b.Fatal(err)
			}
			random := rand.New(rand.NewPCG(5, 6))
			begun := time.Now()
			const pictures = 3
			for range pictures {
				for _, f := range features {
					for i := range f.Tensor.Data() {
						f.Tensor.Data()[i] = random.Float32()
					}
				}
				if err := fitter.Add(); err != nil {
					b.Fatal(err)
				}
			}
			added := time.Since(begun)
			model, err := fitter.Model()
			if err != nil {
				b.Fatal(err)
			}
			modelled := time.Since(begun) - added
			s, err := NewScorer(features, model, 256, 256, cores)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, _, err := s.Score(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(added.Milliseconds())/pictures, "ms/learned")
			b.ReportMetric(float64(modelled.Milliseconds()), "ms/model")
		})
	}
}

func TestModelThatDoesNotFit(t *testing.T) {
	r := start(t)
	features := tensors(t, r, [3]int{3, 4, 5})
	for name, m := range map[string]*Model{
		"empty":            {},
		"too few means":    {Width: 5, Height: 4, Dims: []int32{0}, Mean: make([]float32, 19), Whiten: make([]float32, 20)},
		"too few rows":     {Width: 5, Height: 4, Dims: []int32{0}, Mean: make([]float32, 20), Whiten: make([]float32, 19)},
		"unknown channel":  {Width: 5, Height: 4, Dims: []int32{3}, Mean: make([]float32, 20), Whiten: make([]float32, 20)},
		"another grid":     {Width: 4, Height: 5, Dims: []int32{1}, Mean: make([]float32, 20), Whiten: make([]float32, 20)},
		"channels twice":   {Width: 5, Height: 4, Dims: []int32{1, 1}, Mean: make([]float32, 40), Whiten: make([]float32, 60)},
		"negative channel": {Width: 5, Height: 4, Dims: []int32{-1}, Mean: make([]float32, 20), Whiten: make([]float32, 20)},
	} {
		if _, err := NewScorer(features, m, 40, 32, 1); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestChooseDims(t *testing.T) {
	for n := range 12 {
		dims := ChooseDims(10, n, 5)
		if len(dims) != min(n, 10) || !slices.IsSorted(dims) || len(slices.Compact(slices.Clone(dims))) != len(dims) {
			t.Errorf("%d of 10: %v", n, dims)
		}
		if !slices.Equal(dims, ChooseDims(10, n, 5)) {
			t.Error("the seed alone must decide")
		}
	}
}
