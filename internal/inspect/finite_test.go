package inspect

import (
	"crypto/sha256"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"linectl/internal/inspect/network"
	"linectl/internal/inspect/onnx"
	"linectl/internal/inspect/padim"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
)

// brokenChannel is the channel of the network below that some pictures break, of brokenChannels.
const brokenChannel, brokenChannels = 120, 121

// breaking is a network whose last channel is no number where the picture is bright: the root of what is below zero,
// or, as infinite, the greatest number many times.
func breaking(t *testing.T, infinite bool) string {
	t.Helper()
	var g onnx.Graph
	g.Input("image", 1, 3, 64, 64)
	g.Node("AveragePool", "small", []string{"image"}, onnx.Ints("kernel_shape", 8, 8), onnx.Ints("strides", 8, 8))
	g.Node("ReduceMean", "grey", []string{"small"}, onnx.Ints("axes", 1), onnx.Int("keepdims", 1))
	g.Float32s("limit", []float32{0.65})
	g.Node("Sub", "room", []string{"limit", "grey"})
	if infinite {
		g.Float32s("zero", []float32{0})
		g.Float32s("great", []float32{3e38})
		g.Node("Sub", "over", []string{"grey", "limit"})
		g.Node("Max", "above", []string{"over", "zero"})
		g.Node("Mul", "much", []string{"above", "great"})
		g.Node("Mul", "odd", []string{"much", "great"})
	} else {
		g.Node("Sqrt", "odd", []string{"room"})
	}
	joined := []string{}
	for len(joined) < brokenChannel/3 {
		joined = append(joined, "small")
	}
	g.Node("Concat", "layer", append(joined, "odd"), onnx.Int("axis", 1))
	g.Output("layer", 1, brokenChannels, 8, 8)
	model := g.Encode()
	path := filepath.Join(t.TempDir(), "breaking.onnx")
	card := fmt.Sprintf("name = \"breaking\"\nsha256 = \"%x\"\ninput = \"image\"\nmean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\nmultiple = 64\npatch_of = [\"layer\"]\n[[layers]]\nname = \"layer\"\nstride = 8\nchannels = %d\n",
		sha256.Sum256(model), brokenChannels)
	for file, content := range map[string][]byte{path: model, strings.TrimSuffix(path, ".onnx") + ".toml": []byte(card)} {
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// TestNoNumberIsAFault: a network that gives NaN or infinity on some pictures only is refused where it does so in
// training, and is a fault, never a pass, where it does so on the line: by every method and score, in both precisions,
// whether the channel counts or not, also where the place is not judged.
func TestNoNumberIsAFault(t *testing.T) {
	kept := func(seed uint64) bool {
		return slices.Contains(padim.ChooseDims(brokenChannels, padim.DefaultDims(brokenChannels), seed), brokenChannel)
	}
	seeds := map[bool]uint64{}
	for seed := uint64(1); len(seeds) < 2; seed++ {
		if _, ok := seeds[kept(seed)]; !ok {
			seeds[kept(seed)] = seed
		}
	}
	bright := frame(t, plate(1, true)) // the spot is of grey level 230
	for _, infinite := range []bool{false, true} {
		cfg, folders, o := bench(t)
		cfg.Backbone = breaking(t, infinite)
		for name, change := range map[string]func(*TrainOptions){
			"padim-kept":    func(o *TrainOptions) { o.Method, o.Seed = recipe.PaDiM, seeds[true] },
			"padim-dropped": func(o *TrainOptions) { o.Method, o.Seed = recipe.PaDiM, seeds[false] },
			"fp32":          func(o *TrainOptions) { o.Precision = patchcore.FP32 },
			"mean-top-k":    func(o *TrainOptions) { o.Score = patchcore.MeanTopK },
			"max-mean":      func(o *TrainOptions) { o.Score = patchcore.MaxMean },
			"reweighted":    func(o *TrainOptions) { o.Score = patchcore.Reweighted },
		} {
			if infinite && name != "fp32" && name != "padim-dropped" {
				continue // as of NaN
			}
			c := o
			c.Name, c.Bank = name, 50
			change(&c)
			r, err := Train(t.Context(), cfg, folders, c, nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			versions := []*recipe.Recipe{r}
			if name == "fp32" {
				int8 := *r
				int8.Method.Precision = patchcore.Int8
				ignoring, err := AddZone(r, recipe.Zone{Name: "spot", Polygon: [][2]float64{{0.5, 0}, {1, 0}, {1, 0.5}, {0.5, 0.5}}, Ignore: true}, recipe.Change{})
				if err != nil {
					t.Fatal(err)
				}
				versions = append(versions, &int8, ignoring)
			}
			for _, r := range versions {
				r.Golden = nil // of another precision
				i, err := OpenRecipe(cfg, folders, r, quiet)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if found, err := i.Inspect(t.Context(), frame(t, plate(3, false))); err != nil || math.IsNaN(found.Score) {
					t.Errorf("%s: a picture that breaks nothing: %+v, %v", name, found, err)
				}
				i.limits = picture.Limits{Brightest: 255}
				found, err := i.Inspect(t.Context(), bright)
				if part.ReasonOf(err, part.Unknown) != part.ScoreInvalid || found.Reason != part.ScoreInvalid || !math.IsNaN(found.Score) {
					t.Errorf("%s (%s, %d zones, infinite %v): reason %q, score %g, %v", name, r.Method.Precision, len(r.Zones), infinite, found.Reason, found.Score, err)
				}
				i.Close()
			}
		}
		save(t, filepath.Join(o.Good, "bright.png"), plate(1, true))
		for _, method := range []string{recipe.PatchCore, recipe.PaDiM} {
			c := o
			c.Name, c.Method, c.Seed = "none", method, seeds[false]
			if _, err := Train(t.Context(), cfg, folders, c, nil); err == nil ||
				!strings.Contains(err.Error(), "picture "+filepath.Join(o.Good, "bright.png")+": the network gives numbers that are not finite") {
				t.Errorf("%s learns from it: %v", method, err)
			}
		}
	}
}

func TestFinite(t *testing.T) {
	runtime, err := network.Start("", network.CPU, 1)
	if err != nil {
		t.Fatal(err)
	}
	tensor, err := runtime.NewTensor(5)
	if err != nil {
		t.Fatal(err)
	}
	defer tensor.Close()
	features := []network.Feature{{Tensor: tensor}}
	data := tensor.Data()
	copy(data, []float32{0, -math.MaxFloat32, math.MaxFloat32, 1e-45, -1})
	if !network.Finite(features) {
		t.Error("numbers are none")
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for i := range data {
			was := data[i]
			data[i] = float32(v)
			if network.Finite(features) {
				t.Errorf("%g at %d is a number", v, i)
			}
			data[i] = was
		}
	}
}
