package inspect

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"linectl/internal/hint"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
)

func TestLatency(t *testing.T) {
	var times []time.Duration
	for i := range 200 {
		times = append(times, time.Duration(200-i)*time.Millisecond)
	}
	if got, want := LatencyOf(times), (Latency{100, 190, 198, 200}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := LatencyOf([]time.Duration{1500 * time.Microsecond}), (Latency{1.5, 1.5, 1.5, 1.5}); got != want {
		t.Errorf("of one: %+v, want %+v", got, want)
	}
}

func defaultBackbone(t testing.TB) network.Backbone {
	t.Helper()
	b, err := network.ReadBackbone("../../backbones/" + network.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestMeasure measures the real thing: every stage takes time, the whole is about their sum, and the inspection
// after a pause is there.
func TestMeasure(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Threads = 1
	m, err := NewMeasurer(cfg, Folders{}, picture.Size{Width: 96, Height: 64})
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	s := Setting{Backbone: defaultBackbone(t), Size: picture.Size{Width: 96, Height: 64}, Bank: 100, Options: patchcore.Options{Score: patchcore.MeanTopK, TopK: 3, Precision: patchcore.Int8}}
	got, err := m.Measure(t.Context(), s, Duty{Inspections: 20, Pause: time.Millisecond, Progress: func(string, int, int) { steps++ }})
	if err != nil {
		t.Fatal(err)
	}
	for name, l := range map[string]Latency{"picture": got.Picture, "network": got.Network, "score": got.Score, "whole": got.Whole} {
		if !(0 < l.P50 && l.P50 <= l.P95 && l.P95 <= l.P99 && l.P99 <= l.Max) {
			t.Errorf("%s: %+v", name, l)
		}
	}
	if got.Whole.Max < got.Network.P50 || got.AfterPause <= 0 || steps != 20 || got.Inspections != 20 || got.Device != "cpu" || got.Frame != s.Size {
		t.Errorf("%+v after %d steps", got, steps)
	}
	if hopeless, err := m.Measure(t.Context(), s, Duty{Inspections: 200, Limit: time.Nanosecond}); err != nil || hopeless.Inspections != 3 || hopeless.Whole.P99 <= 0 {
		t.Errorf("a limit that nothing keeps: %+v, %v", hopeless, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := m.Measure(ctx, s, Duty{Inspections: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// TestBenchTakesTheCamerasPictures: a recipe is measured at the size of the pictures that it was trained from, or at another
// one, whatever the size in which it keeps its golden pictures.
func TestBenchTakesTheCamerasPictures(t *testing.T) {
	_, r, cfg, folders := trained(t)
	kept := picture.Size{Width: 96, Height: 96}
	if r.Training.Frame != kept {
		t.Errorf("trained from %s, the recipe says %s", kept, r.Training.Frame)
	}
	other := picture.Size{Width: 200, Height: 100}
	for _, test := range []struct{ trained, asked, want picture.Size }{
		{kept, picture.Size{}, kept}, {other, picture.Size{}, other}, {kept, other, other}, {picture.Size{}, picture.Size{}, kept},
	} {
		r.Training.Frame = test.trained
		got, err := BenchRecipe(t.Context(), cfg, folders, r, test.asked, Duty{Inspections: 1})
		if err != nil || got.Frame != test.want {
			t.Errorf("%+v: measured %s, %v", test, got.Frame, err)
		}
	}
}

// TestPrecisionOfDevices: only the processor computes an int8 bank, training refuses to make one for another device before it
// starts that, and nothing calls fp32 int8.
func TestPrecisionOfDevices(t *testing.T) {
	gpu := network.Device{Kind: "cuda", Target: "0"}
	if cpu := (network.Device{Kind: network.CPU}); precisionOn(cpu, patchcore.Int8) != patchcore.Int8 || precisionOn(gpu, patchcore.Int8) != patchcore.FP32 {
		t.Errorf("int8 is %s on %s, %s on %s", precisionOn(cpu, patchcore.Int8), cpu, precisionOn(gpu, patchcore.Int8), gpu)
	}
	cfg, folders, o := bench(t)
	cfg.Device, o.Precision = gpu.String(), patchcore.Int8
	_, err := Train(t.Context(), cfg, folders, o, nil)
	_, chosen := Choose(t.Context(), cfg, folders, o, picture.Size{}, time.Second, nil)
	for _, err := range []error{err, chosen} {
		if hint.KindOf(err) != hint.Usage || err.Error() != "an int8 memory bank is for the device cpu; cuda:0 computes fp32 as fast" || !strings.Contains(hint.Of(err), "--precision auto or fp32") {
			t.Errorf("%v (%s)", err, hint.Of(err))
		}
	}
}

// station opens n recipes' worth of inspection on one backbone at 256x256, each with its own bank and, where it is to
// compute in 8 bits, its own form of the network.
func station(t testing.TB, n, rows int, computes string) []stages {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Threads = 2
	m, err := NewMeasurer(cfg, Folders{}, picture.Size{Width: 320, Height: 320})
	if err != nil {
		t.Fatal(err)
	}
	all := make([]stages, n)
	for i := range all {
		b := defaultBackbone(t)
		in := recipe.Input{Width: 256, Height: 256, Resize: picture.Resize, Mean: b.Mean, Std: b.Std}
		if computes == patchcore.Int8 {
			model, err := quantize(m.runtime, b, b.PatchOf, in, func(look func(part.Frame) error) error {
				return look(scene(picture.Size{Width: 200 + i, Height: 200}, 1)[0])
			})
			if err != nil {
				t.Fatal(err)
			}
			b = b.Computing(model)
		}
		e, err := newExtractor(m.runtime, b, b.PatchOf, in)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.close)
		bank, _, err := m.bank(t.Context(), e, rows)
		if err != nil {
			t.Fatal(err)
		}
		scorer, err := patchcore.NewScorer(m.runtime, e.network.Features, bank, nil, patchcore.Options{Score: patchcore.Max, Precision: patchcore.Int8})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(scorer.Close)
		all[i] = stages{e, scorer}
	}
	return all
}

// resident is the memory of this process that lies in RAM, in MB, once Go has given back what it does not use.
func resident(t testing.TB) float64 {
	t.Helper()
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return float64(pages) * float64(os.Getpagesize()) / 1e6
}

// TestMemory: ten recipes on one backbone, and ten that compute it in 8 bits each in its own way, stay below 400 MB,
// and inspections leave nothing behind. The race detector multiplies Go's memory, so the first limit is held without
// it only.
func TestMemory(t *testing.T) {
	t.Run(patchcore.FP32, func(t *testing.T) { testMemory(t, patchcore.FP32, 10) })
	recipes := 10
	if raceEnabled {
		recipes = 2 // each makes its own network, which takes a while
	}
	t.Run(patchcore.Int8, func(t *testing.T) { testMemory(t, patchcore.Int8, recipes) })
}

func testMemory(t *testing.T, computes string, recipes int) {
	inspections := 100
	if n, err := strconv.Atoi(os.Getenv("LINECTL_TEST_INSPECTIONS")); err == nil {
		inspections = n
	} else if testing.Short() {
		inspections = 60
	}
	before := resident(t)
	all := station(t, recipes, 2048, computes)
	frames := scene(picture.Size{Width: 320, Height: 320}, 4)
	run := func(n int) {
		for i := range n {
			if _, err := all[i%len(all)].once(frames[i%len(frames)]); err != nil {
				t.Fatal(err)
			}
		}
	}
	run(3 * len(all))
	open := resident(t)
	for done := 0; done < inspections; {
		n := min(10000, inspections-done) // of a long run, something is to be seen on the way
		run(n)
		if done += n; done < inspections {
			t.Logf("%.0f MB after %d inspections", resident(t), done)
		}
	}
	after := resident(t)
	t.Logf("resident: %.0f MB before, %.0f MB with %d recipes open, %.0f MB after %d inspections", before, open, recipes, after, inspections)
	const fresh = 75 // MB of a process before it opens anything; this one also holds what earlier tests have left
	if taken := after - before + fresh; !raceEnabled && taken > 400 {
		t.Errorf("the recipes take %.0f MB, more than 400", taken)
	}
	if after > open+20 {
		t.Errorf("%d inspections leave %.0f MB behind", inspections, after-open)
	}
	runtime.KeepAlive(frames)
}

// TestInspectionAllocates: no buffer of an inspection is made anew. What is, is small and the part's own: the
// finding, its stages and its map; the cells that decide, in two lists; and the three stages as functions.
func TestInspectionAllocates(t *testing.T) {
	i, _, _, _ := trained(t)
	good := frame(t, plate(0, false)) // was learned, and passes: a reject has its reason in words besides
	if allocations := testing.AllocsPerRun(20, func() {
		if _, err := i.Inspect(t.Context(), good); err != nil {
			t.Fatal(err)
		}
	}); allocations > 8 {
		t.Errorf("an inspection allocates %g times", allocations)
	}
}

// BenchmarkInspection is one inspection at 256x256 against 4096 vectors; it reports how much memory is left
// behind. -benchtime 100000x is the long form of TestMemory.
func BenchmarkInspection(b *testing.B) {
	s := station(b, 1, 4096, patchcore.FP32)[0]
	frames := scene(picture.Size{Width: 320, Height: 320}, 4)
	for i := range warmUp {
		if _, err := s.once(frames[i%len(frames)]); err != nil {
			b.Fatal(err)
		}
	}
	before := resident(b)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := s.once(frames[i%len(frames)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
	b.ReportMetric(resident(b)-before, "MB-left")
}

// TestEngines: what a device makes of a network is kept beside the recipes, where no recipe's name can be.
func TestEngines(t *testing.T) {
	if err := recipe.CheckName(enginesFolder); err == nil {
		t.Errorf("%s could be a recipe", enginesFolder)
	}
	r, err := start(DefaultConfig(), Folders{Recipes: filepath.Join(t.TempDir(), "recipes")})
	if err != nil || r.Device().String() != network.CPU {
		t.Errorf("%v, %v", r, err)
	}
}

// TestInt8IsForTheProcessor: a network of 8 bits is refused everywhere else, with what to do.
func TestInt8IsForTheProcessor(t *testing.T) {
	for _, name := range []string{"cpu", "cuda:0", "tensorrt:0:fp16", "openvino:CPU", "openvino:NPU:fp16"} {
		d, err := network.ParseDevice(name)
		if err != nil {
			t.Fatal(err)
		}
		err = checkInt8(d)
		if name == network.CPU {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if err == nil || err.Error() != "a network of 8 bits is for the device cpu; "+name+" computes it otherwise" || hint.Of(err) == "" || hint.KindOf(err) != hint.Usage {
			t.Errorf("%s: %v", name, err)
		}
	}
}
