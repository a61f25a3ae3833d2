package inspect

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"linectl/internal/hint"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
)

// eight trains the bench's recipe through the network in 8 bits, whatever the gate says of pictures as small as these.
func eight(t *testing.T, cfg Config, folders Folders, o TrainOptions) *recipe.Recipe {
	t.Helper()
	o.fill()
	runtime, err := start(cfg, folders)
	if err != nil {
		t.Fatal(err)
	}
	backbone, err := network.FindBackbone("", folders.Backbones)
	if err != nil {
		t.Fatal(err)
	}
	files, err := picture.List(o.Good)
	if err != nil {
		t.Fatal(err)
	}
	in := recipe.Input{Width: o.Size.Width, Height: o.Size.Height, Resize: picture.Resize, Mean: backbone.Mean, Std: backbone.Std}
	model, err := quantize(runtime, backbone, backbone.PatchOf, in, func(look func(part.Frame) error) error {
		return readAll(t.Context(), files, func(_ int, frame part.Frame, err error) error { return errors.Join(err, look(frame)) })
	})
	if err != nil {
		t.Fatal(err)
	}
	tr := &trainer{options: o, runtime: runtime}
	if tr.extractor, err = newExtractor(runtime, backbone.Computing(model), backbone.PatchOf, in); err != nil {
		t.Fatal(err)
	}
	defer tr.extractor.close()
	r, err := tr.train(t.Context(), recipe.Manifest{
		Name:     o.Name,
		Backbone: recipe.Backbone{Name: backbone.Name, SHA256: backbone.SHA256, Layers: backbone.PatchOf, Precision: patchcore.Int8, Gate: "a test"},
		Input:    in,
		Method:   recipe.Method{Name: o.Method, Score: o.Score, Precision: patchcore.FP32, Seed: o.Seed},
	}, files)
	if err != nil {
		t.Fatal(err)
	}
	r.Network = model
	if r, err = tr.save(t.Context(), folders, r, "trained"); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestNetworkInt8: a recipe whose network computes in 8 bits keeps that network, judges by it, learns more through it,
// and is refused when a byte of it is changed.
func TestNetworkInt8(t *testing.T) {
	cfg, folders, o := bench(t)
	o.BackbonePrecision = patchcore.Int8
	if _, err := Train(t.Context(), cfg, folders, o, nil); hint.KindOf(err) != hint.Failure || !strings.Contains(err.Error(), "does not score as in fp32: 15 held-out good and 15 spoiled") {
		t.Fatalf("the gate lets pictures of 64 by 64 pass: %v", err)
	}
	r := eight(t, cfg, folders, o)
	if len(r.Network) == 0 {
		t.Fatal("the network is not in the recipe")
	}
	i, err := OpenRecipe(cfg, folders, r, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	for seed := range uint64(5) {
		good, err := i.Inspect(t.Context(), frame(t, plate(1000+seed, false)))
		if err != nil || math.IsNaN(good.Score) {
			t.Errorf("a good plate: %+v, %v", good, err)
		}
		if bad, err := i.Inspect(t.Context(), frame(t, plate(2000+seed, true))); err != nil || bad.Reason != part.Anomaly || bad.Score <= good.Score {
			t.Errorf("a plate with a spot: score %g, %s, %v; a good one has %g", bad.Score, bad.Reason, err, good.Score)
		}
	}
	more := o
	more.Good = filepath.Join(t.TempDir(), "more")
	for i := range 3 {
		save(t, filepath.Join(more.Good, string(rune('a'+i))+".png"), plate(uint64(500+i), false))
	}
	grown, err := Add(t.Context(), cfg, folders, more, nil)
	if err != nil || string(grown.Network) != string(r.Network) || grown.Manifest.Backbone.Gate != r.Manifest.Backbone.Gate {
		t.Fatalf("pictures added: network of %d bytes, %+v, %v", len(grown.Network), grown.Manifest.Backbone, err)
	}
	path := filepath.Join(r.Path, "network.onnx")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg, folders, quiet); hint.KindOf(err) != hint.Damage {
		t.Errorf("a network with another byte in it: %v", err)
	}
}

// TestNetworkFP32: where nothing else was asked or proved, the network computes in fp32 and the recipe says why.
func TestNetworkFP32(t *testing.T) {
	cfg, folders, o := bench(t)
	runtime, err := network.Start(cfg.Library, cfg.Device, cfg.Threads)
	if err != nil {
		t.Fatal(err)
	}
	backbone, err := network.FindBackbone("", folders.Backbones)
	if err != nil {
		t.Fatal(err)
	}
	few := []string{"a.png", "b.png"}
	for _, test := range []struct{ precision, why, refused string }{
		{patchcore.FP32, "", ""},
		{Auto, "2 pictures are too few", ""},
		{patchcore.Int8, "", "too few"},
	} {
		o := o
		o.BackbonePrecision = test.precision
		b := recipe.Backbone{Layers: backbone.PatchOf}
		model, err := (&trainer{options: o, runtime: runtime}).eightBits(t.Context(), backbone, &b, recipe.Input{}, few, nil)
		if test.refused != "" {
			if hint.KindOf(err) != hint.Failure || !strings.Contains(err.Error(), test.refused) {
				t.Errorf("%s: %v", test.precision, err)
			}
		} else if err != nil || model != nil || b.Int8() || (b.Gate == "") != (test.why == "") || !strings.Contains(b.Gate, test.why) {
			t.Errorf("%s: %d bytes, %+v, %v", test.precision, len(model), b, err)
		}
	}
	o.BackbonePrecision = "int4"
	if _, err := Train(t.Context(), cfg, folders, o, nil); err == nil || !strings.Contains(err.Error(), "int4") || hint.KindOf(err) != hint.Usage {
		t.Errorf("int4: %v", err)
	}
}

// TestLikeness: the gate opens for what ranks, lies and tells apart as before, and for nothing else.
func TestLikeness(t *testing.T) {
	same := likeness{Agreement: patchcore.Agreement{Spearman: 0.99, MaxRelative: 0.04}, aurocWas: 0.9, aurocIs: 0.895}
	if !same.ok() {
		t.Errorf("refused: %v", same)
	}
	for name, change := range map[string]func(*likeness){
		"order":        func(l *likeness) { l.Spearman = 0.97 },
		"size":         func(l *likeness) { l.MaxRelative = 0.06 },
		"told apart":   func(l *likeness) { l.aurocIs = 0.88 },
		"no bad ones":  func(l *likeness) { l.aurocIs = math.NaN() },
		"one picture":  func(l *likeness) { l.Spearman = math.NaN() },
		"not a number": func(l *likeness) { l.MaxRelative = math.NaN() },
	} {
		l := same
		if change(&l); l.ok() {
			t.Errorf("%s: taken: %v", name, l)
		}
	}
}
