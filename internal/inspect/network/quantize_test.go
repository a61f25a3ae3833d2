package network

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// scene fills an input with soft stripes and a little noise, another one for each seed.
func scene(input []float32, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 7))
	for i := range input {
		input[i] = float32(math.Sin(float64(i)/(5+float64(seed)))) + 0.2*float32(random.NormFloat64())
	}
}

// TestQuantize: the default backbone in 8 bits is a quarter of the size, gives nearly the features of fp32 on pictures
// that it was not observed on, finite ones whatever it is shown, and is the same whenever it is made.
func TestQuantize(t *testing.T) {
	r := start(t)
	b, err := FindBackbone("", "../../../backbones")
	if err != nil {
		t.Fatal(err)
	}
	const side = 96
	var models [2][]byte
	for i := range models {
		o, err := r.Observe(b, b.PatchOf, side, side)
		if err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(6) {
			scene(o.Input.Data(), seed)
			if err := o.Look(); err != nil {
				t.Fatal(err)
			}
		}
		models[i], err = o.Quantize()
		o.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(models[0], models[1]) {
		t.Error("the same pictures give another network")
	}
	exact, err := r.Open(b, b.PatchOf, side, side)
	if err != nil {
		t.Fatal(err)
	}
	defer exact.Close()
	fast, err := r.Open(b.Computing(models[0]), b.PatchOf, side, side)
	if err != nil {
		t.Fatal(err)
	}
	defer fast.Close()
	if weights := 2 * len(models[0]); weights > 3*len(b.model)/2 { // the file's own weights have 16 bits
		t.Errorf("%d bytes, of %d in fp16", len(models[0]), len(b.model))
	}
	for _, gain := range []float32{1, 100} {
		scene(exact.Input.Data(), 50)
		for i := range exact.Input.Data() {
			exact.Input.Data()[i] *= gain
		}
		copy(fast.Input.Data(), exact.Input.Data())
		if err := exact.Run(); err != nil {
			t.Fatal(err)
		}
		if err := fast.Run(); err != nil {
			t.Fatal(err)
		}
		for i, f := range fast.Features {
			var off, size float64
			want := exact.Features[i].Tensor.Data()
			for j, v := range f.Tensor.Data() {
				off += math.Pow(float64(v-want[j]), 2)
				size += math.Pow(float64(want[j]), 2)
			}
			switch relative := math.Sqrt(off / size); {
			case math.IsNaN(relative) || math.IsInf(relative, 0):
				t.Errorf("layer %s times %g: features are not finite", f.Name, gain)
			case gain == 1 && (relative > 0.1 || relative == 0):
				t.Errorf("layer %s: features are %.3f off", f.Name, relative)
			}
		}
	}
	if _, err := r.Observe(b, []string{"nothing"}, side, side); err == nil {
		t.Error("a layer that is not there was taken")
	}
	if slices.Equal(exact.Features[0].Tensor.Data(), make([]float32, len(exact.Features[0].Tensor.Data()))) {
		t.Error("the features are nothing but zeros")
	}
}
