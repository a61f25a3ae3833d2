package inspect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"testing"

	"linectl/internal/inspect/network"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
	"linectl/internal/raster"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// plate draws a brushed plate with a hole in it, each one a little different; defect adds a dark spot.
func plate(seed uint64, defect bool) image.Image {
	r := rand.New(rand.NewPCG(seed, 99))
	img := image.NewRGBA(image.Rect(0, 0, 96, 96))
	light, phase := 120+r.NormFloat64()*4, r.Float64()*6
	for y := range 96 {
		line := r.NormFloat64() * 6
		for x := range 96 {
			v := light + line + 10*math.Sin(float64(x)/9+phase) + r.NormFloat64()*2
			if math.Hypot(float64(x)-48, float64(y)-48) < 14 {
				v = 30 + r.NormFloat64()
			}
			if defect && math.Hypot(float64(x)-75, float64(y)-20) < 7 {
				v = 230
			}
			level := uint8(min(max(v, 0), 255))
			img.SetRGBA(x, y, color.RGBA{level, level, level, 255})
		}
	}
	return img
}

func save(t testing.TB, path string, img image.Image) {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func frame(t testing.TB, img image.Image) part.Frame {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	f, err := raster.Decode(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// bench is a recipe trained on plates, small enough for a test.
func bench(t testing.TB) (Config, Folders, TrainOptions) {
	t.Helper()
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	for i := range 30 {
		save(t, filepath.Join(good, fmt.Sprintf("%d.png", i)), plate(uint64(i), false))
	}
	cfg := DefaultConfig()
	cfg.Recipe, cfg.Threads = "plate", 1
	return cfg, Folders{Recipes: filepath.Join(dir, "recipes"), Backbones: "../../backbones"},
		TrainOptions{Name: "plate", Good: good, Bank: 200, Size: picture.Size{Width: 64, Height: 64}}
}

// fixture is the folder of a recipe that was trained on the bench, once for all tests.
var fixture = struct {
	once   sync.Once
	folder string
	err    error
}{}

func TestMain(m *testing.M) {
	code := m.Run()
	if fixture.folder != "" {
		os.RemoveAll(fixture.folder)
	}
	os.Exit(code)
}

// trained is a recipe trained on the bench, in a folder that the test may change, and opened.
func trained(t testing.TB) (*Inspector, *recipe.Recipe, Config, Folders) {
	t.Helper()
	fixture.once.Do(func() {
		cfg, folders, o := bench(t)
		if fixture.folder, fixture.err = os.MkdirTemp("", "linectl-inspect-"); fixture.err == nil {
			folders.Recipes = fixture.folder
			_, fixture.err = Train(t.Context(), cfg, folders, o, nil)
		}
	})
	if fixture.err != nil {
		t.Fatal(fixture.err)
	}
	cfg := DefaultConfig()
	cfg.Recipe, cfg.Threads = "plate", 1
	folders := Folders{Recipes: filepath.Join(t.TempDir(), "recipes"), Backbones: "../../backbones"}
	if err := os.CopyFS(folders.Recipes, os.DirFS(fixture.folder)); err != nil {
		t.Fatal(err)
	}
	r, err := recipe.Folder(folders.Recipes).Load("plate", 0)
	if err != nil {
		t.Fatal(err)
	}
	i, err := Open(cfg, folders, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.Close() })
	return i, r, cfg, folders
}

func TestTrainAndInspect(t *testing.T) {
	i, r, _, _ := trained(t)
	if i.Recipe() != r.ID() {
		t.Errorf("judges by %+v, trained %+v", i.Recipe(), r.ID())
	}
	if r.Training.Pictures != 30 || r.Bank.Rows != 200 || r.Bank.Dim != 384 || len(r.Thumbnails) != 30 || r.Training.Patches != 30*64 {
		t.Errorf("manifest %+v", r.Manifest)
	}
	rejected := 0
	for seed := range uint64(40) {
		found, err := i.Inspect(t.Context(), frame(t, plate(1000+seed, false)))
		if err != nil {
			t.Fatal(err)
		}
		if found.Reason != part.None {
			rejected++
		}
		if !(found.Score > 0) || found.Threshold != r.Threshold.Value || found.Map.Width != 8 || found.Map.Height != 8 || len(found.Map.Cells) != 64 {
			t.Fatalf("finding %+v", found)
		}
		if len(found.Stages) != 3 || found.Stages[0].Name != "picture" || found.Stages[1].Name != "network" || found.Stages[2].Name != "score" {
			t.Fatalf("stages %v", found.Stages)
		}
	}
	if rejected > 6 {
		t.Errorf("%d of 40 good plates are rejected; %.0f in 10,000 were promised (%.0f to %.0f)", rejected, r.Threshold.Expected, r.Threshold.Low, r.Threshold.High)
	}
	for seed := range uint64(20) {
		found, err := i.Inspect(t.Context(), frame(t, plate(2000+seed, true)))
		if err != nil || found.Reason != part.Anomaly || found.Score < found.Threshold || found.Detail == "" {
			t.Errorf("a plate with a spot: %+v, %v", found, err)
		}
		// The spot lies in the upper right; the map must point there.
		hottest := 0
		for c, v := range found.Map.Cells {
			if v > found.Map.Cells[hottest] {
				hottest = c
			}
		}
		if x, y := hottest%8, hottest/8; x < 5 || x > 7 || y > 3 {
			t.Errorf("the map is hottest at %d,%d", x, y)
		}
	}
}

// TestScoresFromDisk: what was trained, written, read back and put into a graph scores as the bank does by
// plain arithmetic in float64, beside the appearance, of which the mean patch is computed likewise.
func TestScoresFromDisk(t *testing.T) {
	i, r, cfg, _ := trained(t)
	runtime, err := network.Start(cfg.Library, cfg.Device, 1)
	if err != nil {
		t.Fatal(err)
	}
	e, err := patchcore.NewEmbedder(runtime, i.extractor.network.Features, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ordinary, err := patchcore.NewAppearance(r.Means, r.Method.AppearanceShrinkage, patchcore.Weighing{})
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(10) {
		found, err := i.Inspect(t.Context(), frame(t, plate(500+seed, seed%2 == 0)))
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Run(); err != nil { // of the features that the inspection has left
			t.Fatal(err)
		}
		var want float64
		for p := range e.Grid {
			least := math.Inf(1)
			for row := range r.Bank.Rows {
				var sum float64
				for j := range e.Dim {
					d := float64(e.Patches.Data()[p*e.Dim+j]) - float64(r.Bank.Vectors[row*e.Dim+j])
					sum += d * d
				}
				least = min(least, sum)
			}
			want = max(want, math.Sqrt(least))
		}
		means := patchcore.Means{Rows: 1, Dim: e.Dim, Vectors: make([]float32, e.Dim)}
		for p := range e.Grid {
			for j := range e.Dim {
				means.Vectors[j] += e.Patches.Data()[p*e.Dim+j] / float32(e.Grid)
			}
		}
		whole := r.Method.Appearance * max(0, ordinary.Unlikeness(means.Vectors)-r.Method.AppearanceFrom)
		if math.Abs(found.Score-want-whole) > 1e-3*want || math.Abs(found.Appearance-whole) > 1e-3*want {
			t.Errorf("score %g, of it appearance %g; want %g and %g", found.Score, found.Appearance, want+whole, whole)
		}
	}
}

// TestTrainingIsRepeatable: the same pictures and seed give the same bank and the same threshold.
func TestTrainingIsRepeatable(t *testing.T) {
	cfg, folders, o := bench(t)
	var made [3]*recipe.Recipe
	for i := range made {
		if i == 2 {
			o.Seed = 2
		}
		var err error
		if made[i], err = Train(t.Context(), cfg, folders, o, nil); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(made[0].Bank, made[1].Bank) || made[0].Threshold != made[1].Threshold {
		t.Error("two trainings with the same seed differ")
	}
	if reflect.DeepEqual(made[0].Bank, made[2].Bank) {
		t.Error("another seed gives the same bank")
	}
	if active, err := recipe.Folder(folders.Recipes).Active("plate"); err != nil || active != 1 {
		t.Errorf("version %d is active, %v; the first must stay so", active, err)
	}
}

func TestPicturesThatAreRefused(t *testing.T) {
	i, _, _, _ := trained(t)
	good := frame(t, plate(7, false))
	scaled := func(share float64, offset float64) part.Frame {
		f := good
		f.Pixels = make([]byte, len(good.Pixels))
		for j, v := range good.Pixels {
			f.Pixels[j] = byte(min(max(float64(v)*share+offset, 0), 255))
		}
		return f
	}
	smeared := good
	smeared.Pixels = make([]byte, len(good.Pixels))
	for j := range smeared.Pixels {
		x, y := j/3%96, j/3/96
		sum, n := 0, 0
		for dy := -6; dy <= 6; dy++ {
			for dx := -6; dx <= 6; dx++ {
				if xx, yy := x+dx, y+dy; xx >= 0 && xx < 96 && yy >= 0 && yy < 96 {
					sum, n = sum+int(good.Pixels[3*(yy*96+xx)]), n+1
				}
			}
		}
		smeared.Pixels[j] = byte(sum / n)
	}
	wide := good
	wide.Height, wide.Pixels = good.Height/2, good.Pixels[:len(good.Pixels)/2]
	for _, test := range []struct {
		name  string
		frame part.Frame
		want  part.Reason
	}{
		{"as it is", good, part.None},
		{"another region of the sensor", wide, part.BadFrame},
		{"lamp off", scaled(0.1, 0), part.TooDark},
		{"stray light", scaled(1, 110), part.TooBright},
		{"out of focus", smeared, part.OutOfFocus},
	} {
		found, err := i.Inspect(t.Context(), test.frame)
		if err != nil || found.Reason != test.want {
			t.Errorf("%s: %q (%s), %v; want %q", test.name, found.Reason, found.Detail, err, test.want)
		}
		if test.want != part.None && (!math.IsNaN(found.Score) || len(found.Map.Cells) != 0 || found.Detail == "" || found.Quality == (part.Quality{})) {
			t.Errorf("%s: finding %+v", test.name, found)
		}
	}
}

func TestInspectFails(t *testing.T) {
	i, r, _, _ := trained(t)
	found, err := i.Inspect(t.Context(), part.Frame{Width: 3, Height: 3, Pixels: make([]byte, 5)})
	if err == nil || part.ReasonOf(err, part.Unknown) != part.BadFrame || found.Reason != part.BadFrame || !math.IsNaN(found.Score) {
		t.Errorf("a frame without pixels: %+v, %v", found, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	found, err = i.Inspect(ctx, frame(t, plate(1, false)))
	if !errors.Is(err, context.Canceled) || found.Reason != part.InspectionFault || !math.IsNaN(found.Score) {
		t.Errorf("after the line has stopped: %+v, %v", found, err)
	}
	// A bank that is damaged in memory must not give a small score.
	vectors := i.extractor.network.Features[0].Tensor.Data()
	if found, err = i.Inspect(t.Context(), frame(t, plate(1, false))); err != nil || math.IsNaN(found.Score) {
		t.Fatalf("%+v, %v", found, err)
	}
	vectors[0] = float32(math.NaN())
	var f part.Finding
	if err := i.score(part.Frame{}, &f); part.ReasonOf(err, part.Unknown) != part.ScoreInvalid {
		t.Errorf("a score that is no number: %v", err)
	}
	if found, err = i.Inspect(t.Context(), frame(t, plate(1, false))); err != nil || found.Recipe != r.ID() {
		t.Errorf("afterwards: %+v, %v", found, err)
	}
}

func TestInspectFromManyGoroutines(t *testing.T) {
	i, _, _, _ := trained(t)
	frames := make([]part.Frame, 8)
	want := make([]float64, len(frames))
	for n := range frames {
		frames[n] = frame(t, plate(uint64(300+n), n%2 == 0))
		found, err := i.Inspect(t.Context(), frames[n])
		if err != nil {
			t.Fatal(err)
		}
		want[n] = found.Score
	}
	var all sync.WaitGroup
	for n := range frames {
		all.Go(func() {
			for range 20 {
				if found, err := i.Inspect(t.Context(), frames[n]); err != nil || found.Score != want[n] {
					t.Errorf("frame %d: score %g, %v; alone it was %g", n, found.Score, err, want[n])
				}
			}
		})
	}
	all.Wait()
}

// TestNoGrowth: thousands of parts later the process is as large as it was; LINECTL_TEST_INSPECTIONS says how many.
func TestNoGrowth(t *testing.T) {
	parts := 3000
	if n, err := strconv.Atoi(os.Getenv("LINECTL_TEST_INSPECTIONS")); err == nil {
		parts = n
	}
	i, _, _, _ := trained(t)
	frames := []part.Frame{frame(t, plate(1, false)), frame(t, plate(2, true))}
	run := func(n int) int {
		for k := range n {
			if _, err := i.Inspect(t.Context(), frames[k%2]); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile("/proc/self/statm")
		if err != nil {
			t.Skip(err)
		}
		var size, resident int
		if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
			t.Fatal(err)
		}
		return resident * os.Getpagesize() >> 10
	}
	before := run(500)
	after := run(parts)
	t.Logf("resident %d kB after 500 parts, %d kB after %d more", before, after, parts)
	if after-before > 8<<10 {
		t.Errorf("%d parts took %d kB", parts, after-before)
	}
}

// TestNoMatIsLeft: OpenCV's memory is given back, that of a training and of inspections. GoCV counts where it is built to:
//
//	go test -tags gocv_specific_modules,gocv_videoio,matprofile -run NoMatIsLeft -v ./internal/inspect
func TestNoMatIsLeft(t *testing.T) {
	mats := pprof.Lookup("gocv.io/x/gocv.Mat")
	if mats == nil {
		t.Skip("GoCV counts its Mats only with -tags matprofile")
	}
	before := mats.Count()
	t.Run("line", func(t *testing.T) {
		i, _, cfg, folders := trained(t)
		for k := range 100 {
			if _, err := i.Inspect(t.Context(), frame(t, plate(uint64(k), k%2 > 0))); err != nil {
				t.Fatal(err)
			}
		}
		_, _, o := bench(t)
		o.Widen, o.Sheet = []string{picture.Rotate, picture.Light}, filepath.Join(t.TempDir(), "sheet.png")
		if _, err := Train(t.Context(), cfg, folders, o, nil); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("%d Mats before, %d after", before, mats.Count())
	if after := mats.Count(); after != before {
		var stacks strings.Builder
		if err := mats.WriteTo(&stacks, 1); err != nil {
			t.Fatal(err)
		}
		t.Errorf("%d Mats are left:\n%s", after-before, &stacks)
	}
}

func BenchmarkInspect(b *testing.B) {
	i, _, _, _ := trained(b)
	f := frame(b, plate(1, false))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := i.Inspect(b.Context(), f); err != nil {
			b.Fatal(err)
		}
	}
}
