package network

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"linectl/internal/inspect/onnx"
)

// classifier is a small network with a head: maps at stride 4 and 8, then two classes. Its file gives the maps as
// well, so that ONNX Runtime can be asked what they were before the cut.
func classifier() []byte {
	random := rand.New(rand.NewPCG(3, 4))
	noise := func(n int) []float32 {
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(random.NormFloat64()) / 4
		}
		return values
	}
	var g onnx.Graph
	g.Input("image", 0, 3, 0, 0)
	g.Float32s("w1", noise(6*3*9), 6, 3, 3, 3)
	g.Float32s("w2", noise(7*6*9), 7, 6, 3, 3)
	g.Float32s("head", noise(7*2), 7, 2)
	pads := onnx.Ints("pads", 1, 1, 1, 1)
	g.Node("Conv", "c1", []string{"image", "w1"}, onnx.Ints("strides", 4, 4), pads)
	g.Node("Relu", "r1", []string{"c1"})
	g.Node("Conv", "c2", []string{"r1", "w2"}, onnx.Ints("strides", 2, 2), pads)
	g.Node("Relu", "r2", []string{"c2"})
	g.Node("GlobalAveragePool", "pool", []string{"r2"})
	g.Node("Flatten", "flat", []string{"pool"})
	g.Node("MatMul", "logits", []string{"flat", "head"})
	g.Output("logits", 0, 2)
	g.Output("r1", 0, 6, 0, 0)
	g.Output("r2", 0, 7, 0, 0)
	return g.Encode()
}

// TestImportKeepsFeatures: the head is gone, and the maps are those that the whole network gives.
func TestImportKeepsFeatures(t *testing.T) {
	r, dir := start(t), t.TempDir()
	whole := classifier()
	file := filepath.Join(dir, "small.onnx")
	if err := os.WriteFile(file, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := r.Import(Source{File: file, Mean: ImageNetMean, Std: ImageNetStd}, filepath.Join(dir, "plant"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Layer{{"r1", 4, 6}, {"r2", 8, 7}}
	if !slices.Equal(got.Backbone.Layers, want) || got.After >= got.Before {
		t.Errorf("layers %+v, want %+v; %d bytes of %d", got.Backbone.Layers, want, got.After, got.Before)
	}
	if strings.Contains(string(got.Backbone.model), "logits") || strings.Contains(string(got.Backbone.model), "head") {
		t.Error("the head is still there")
	}
	for _, size := range [][2]int{{64, 96}, {200, 120}} {
		before, err := r.try(whole, "image", []string{"r1", "r2", "logits"}, size[0], size[1])
		if err != nil {
			t.Fatal(err)
		}
		after, err := r.try(got.Backbone.model, got.Backbone.Input, []string{"r1", "r2"}, size[0], size[1])
		if err != nil {
			t.Fatal(err)
		}
		for i := range after {
			if !slices.Equal(after[i].shape, before[i].shape) || !slices.Equal(after[i].values, before[i].values) {
				t.Errorf("%s at %v: other features than before the cut", want[i].Name, size)
			}
		}
	}
}

// TestImportFolder: what one linectl imported, another takes with its card.
func TestImportFolder(t *testing.T) {
	r, dir := start(t), t.TempDir()
	file := filepath.Join(dir, "small.onnx")
	if err := os.WriteFile(file, classifier(), 0o644); err != nil {
		t.Fatal(err)
	}
	first, err := r.Import(Source{File: file, Mean: ImageNetMean, Std: ImageNetStd, Licence: "MIT", Layers: []string{"r2"}}, filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.Import(Source{File: filepath.Join(dir, "a"), Name: "other"}, filepath.Join(dir, "b"))
	if err != nil {
		t.Fatal(err)
	}
	b := second.Backbone
	if b.Name != "other" || b.SHA256 != first.Backbone.SHA256 || b.Licence != "MIT" || !slices.Equal(b.Layers, []Layer{{"r2", 8, 7}}) {
		t.Errorf("%+v", b.Card)
	}
	card := filepath.Join(dir, "a", "small.toml")
	text, err := os.ReadFile(card)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ old, new, want string }{
		{first.Backbone.SHA256, strings.Repeat("0", 64), "is not what its card describes"},
		{"channels = 7", "channels = 9", "does not run as its card says"},
	} {
		if err := os.WriteFile(card, []byte(strings.Replace(string(text), test.old, test.new, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Import(Source{File: filepath.Join(dir, "a")}, filepath.Join(dir, "c")); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.new, err, test.want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "c")); err == nil {
		t.Error("something was left behind")
	}
}
