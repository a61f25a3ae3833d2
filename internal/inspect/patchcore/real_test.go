package patchcore

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"linectl/internal/inspect/evaluate"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/realset"
)

// TestInt8OnRealPictures: an int8 bank tells good magnetic tiles from bad ones as well as the same bank in
// fp32 does, and passes the gate on good pictures that it has not seen. LINECTL_BACKBONE names another
// network than the default; LINECTL_TEST_PICTURES=all takes all test pictures and not a quarter of them.
func TestInt8OnRealPictures(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute; leave -short out to run it")
	}
	set := readSet(t, "magnetic_tile")
	v := newViewer(t)
	e := v.embedder
	pictures, every, size := 50, 4, 1024
	if os.Getenv("LINECTL_TEST_PICTURES") == "all" {
		pictures, every, size = 200, 1, 4096
	}
	var patches, projected []float32
	for i := range pictures {
		v.see(set.train[i*len(set.train)/pictures], 0)
		if err := e.Run(); err != nil {
			t.Fatal(err)
		}
		patches = append(patches, e.Patches.Data()...)
		projected = append(projected, e.Projected.Data()...)
	}
	rows := make([]int, pictures*e.Grid)
	for i := range rows {
		rows[i] = i
	}
	begun := time.Now()
	chosen, err := Coreset(t.Context(), projected, ProjectedDim, rows, size, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d patches chosen in %s", len(chosen), len(rows), time.Since(begun).Round(time.Millisecond))
	bank := Bank{Rows: len(chosen), Dim: e.Dim}
	for _, row := range chosen {
		bank.Vectors = append(bank.Vectors, patches[row*e.Dim:(row+1)*e.Dim]...)
	}

	var scorers []*Scorer
	for _, precision := range []string{FP32, Int8} {
		s, err := NewScorer(v.runtime, v.network.Features, bank, nil, Options{Score: Max, Precision: precision})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		scorers = append(scorers, s)
	}
	var good, bad [2][]float64
	var took [2]time.Duration
	var meanError, mostError float64
	cells := 0
	for i := 0; i < len(set.test); i += every {
		v.see(set.test[i], 0)
		var maps [2][]float32
		for j, s := range scorers {
			begun := time.Now()
			score, m, err := s.Score()
			if err != nil {
				t.Fatal(err)
			}
			took[j] += time.Since(begun)
			maps[j] = m.Cells
			if set.bad[i] {
				bad[j] = append(bad[j], score)
			} else {
				good[j] = append(good[j], score)
			}
		}
		for c, want := range maps[0] {
			e := math.Abs(float64(maps[1][c]-want)) / float64(want)
			meanError += e
			mostError = max(mostError, e)
			cells++
		}
	}
	fp32, int8 := evaluate.AUROC(good[0], bad[0]), evaluate.AUROC(good[1], bad[1])
	agreement := Agree(good[0], good[1])
	t.Logf("%s: AUROC %.4f in fp32, %.4f in int8; %s", v.backbone.Name, fp32, int8, agreement)
	t.Logf("distances of patches off by %.2g %% in the mean, %.2g %% at most; bad pictures: %s", 100*meanError/float64(cells), 100*mostError, Agree(bad[0], bad[1]))
	t.Logf("a picture in %s and %s", took[0]/time.Duration(len(good[0])+len(bad[0])), took[1]/time.Duration(len(good[0])+len(bad[0])))
	if !(math.Abs(fp32-int8) <= 0.002) {
		t.Errorf("AUROC %.4f in int8, %.4f in fp32", int8, fp32)
	}
	if !agreement.OK {
		t.Errorf("the gate is not passed: %s", agreement)
	}
}

type pictureSet struct {
	train, test []string
	bad         []bool // of test
}

// readSet divides a set of real pictures; it skips the test where there is none.
func readSet(t testing.TB, name string) (s pictureSet) {
	for _, p := range realset.Read(t, name) {
		if p.Train {
			s.train = append(s.train, p.File)
			continue
		}
		s.test = append(s.test, p.File)
		s.bad = append(s.bad, p.Bad)
	}
	return s
}

// BenchmarkCoresetOfPictures is the cost of the choice in training: 4,096 vectors from so many pictures,
// above 234 of them from a sample of 240,000 patches. The set has 702 training pictures: further ones are
// the same pictures a few pixels aside. Run one size at a time to read the memory.
func BenchmarkCoresetOfPictures(b *testing.B) {
	const most = 240_000
	set := readSet(b, "magnetic_tile")
	for _, pictures := range []int{50, 200, 1000, 5000} {
		b.Run(fmt.Sprint(pictures), func(b *testing.B) {
			v := newViewer(b)
			each := min(v.embedder.Grid, most/pictures)
			patches := make([]float32, 0, pictures*each*v.embedder.Dim)
			projected := make([]float32, 0, pictures*each*ProjectedDim)
			begun := time.Now()
			for i := range pictures {
				v.see(set.train[i%len(set.train)], 5*(i/len(set.train)))
				if err := v.embedder.Run(); err != nil {
					b.Fatal(err)
				}
				for _, cell := range rand.New(rand.NewPCG(1, uint64(i))).Perm(v.embedder.Grid)[:each] {
					patches = append(patches, v.embedder.Patches.Data()[cell*v.embedder.Dim:(cell+1)*v.embedder.Dim]...)
					projected = append(projected, v.embedder.Projected.Data()[cell*ProjectedDim:(cell+1)*ProjectedDim]...)
				}
			}
			features := time.Since(begun).Seconds()
			rows := make([]int, pictures*each)
			for i := range rows {
				rows[i] = i
			}
			for b.Loop() {
				if _, err := Coreset(b.Context(), projected, ProjectedDim, rows, 4096, 1, nil); err != nil {
					b.Fatal(err)
				}
			}
			runtime.KeepAlive(patches)
			b.ReportMetric(features, "features-s")
			b.ReportMetric(float64(len(rows)), "patches")
			b.ReportMetric(peak(b), "peak-MB")
		})
	}
}

// peak is the most memory that the process has held, in MB.
func peak(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kB float64
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		b.Fatal(err)
	}
	return kB / 1000
}

// viewer turns picture files into features, at 256 x 256.
type viewer struct {
	t        testing.TB
	runtime  *network.Runtime
	backbone network.Backbone
	network  *network.Network
	embedder *Embedder
	prepare  *picture.Preparer
}

// newViewer takes the default backbone, or the one that LINECTL_BACKBONE names.
func newViewer(t testing.TB) *viewer {
	v := &viewer{t: t}
	var err error
	if v.runtime, err = network.Start("", network.CPU, 0); err != nil {
		t.Fatal(err)
	}
	if v.backbone, err = network.FindBackbone(os.Getenv("LINECTL_BACKBONE"), "../../../backbones"); err != nil {
		t.Fatal(err)
	}
	if v.network, err = v.runtime.Open(v.backbone, v.backbone.PatchOf, 256, 256); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.network.Close)
	if v.embedder, err = NewEmbedder(v.runtime, v.network.Features, 1); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.embedder.Close)
	v.prepare = picture.NewPreparer(picture.Size{Width: 256, Height: 256}, v.backbone.Mean, v.backbone.Std)
	t.Cleanup(v.prepare.Close)
	return v
}

// see computes the features of a picture from which so many rows at the top are cut.
func (v *viewer) see(path string, aside int) {
	frame, err := picture.Read(path)
	if err != nil {
		v.t.Fatal(err)
	}
	stride := len(frame.Pixels) / frame.Height
	frame.Pixels, frame.Height = frame.Pixels[aside*stride:], frame.Height-aside
	if err := v.prepare.Fill(v.network.Input.Data(), frame); err != nil {
		v.t.Fatal(err)
	}
	if err := v.network.Run(); err != nil {
		v.t.Fatal(err)
	}
}
