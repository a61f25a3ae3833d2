package patchcore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"linectl/internal/inspect/network"
)

func start(t *testing.T) *network.Runtime {
	t.Helper()
	return startOn(t, network.CPU)
}

func startOn(t *testing.T, device string) *network.Runtime {
	t.Helper()
	r, err := network.Start("", device, 1)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// layers makes feature maps of random numbers, as Relu leaves them: none below zero.
func layers(t testing.TB, r *network.Runtime, shapes ...[3]int) []network.Feature {
	t.Helper()
	random := rand.New(rand.NewPCG(3, 4))
	var features []network.Feature
	for _, s := range shapes {
		tensor, err := r.NewTensor(1, s[0], s[1], s[2])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(tensor.Close)
		for i := range tensor.Data() {
			tensor.Data()[i] = float32(max(0, random.NormFloat64()))
		}
		features = append(features, network.Feature{Layer: network.Layer{Channels: s[0]}, Height: s[1], Width: s[2], Tensor: tensor})
	}
	return features
}

func referencePatches(features []network.Feature) [][]float64 {
	var all []maps
	for _, f := range features {
		all = append(all, unflatten(f.Tensor.Data(), f.Channels, f.Height, f.Width))
	}
	return embed(all)
}

// shapes of layers: two as a ResNet has them, odd sizes, three layers, and one alone.
var shapes = [][][3]int{
	{{6, 8, 10}, {5, 4, 5}},
	{{3, 7, 9}, {4, 4, 5}},
	{{2, 12, 8}, {3, 6, 4}, {4, 3, 2}},
	{{5, 6, 6}},
}

func TestEmbeddingIsTheReference(t *testing.T) {
	r := start(t)
	for _, shape := range shapes {
		features := layers(t, r, shape...)
		e, err := NewEmbedder(r, features, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		if err := e.Run(); err != nil {
			t.Fatal(err)
		}
		want := referencePatches(features)
		matrix := projection(e.Dim, 1)
		for i, patch := range want {
			for j, v := range patch {
				if got := float64(e.Patches.Data()[i*e.Dim+j]); math.Abs(got-v) > 1e-5 {
					t.Fatalf("%v: patch %d, number %d: %g, want %g", shape, i, j, got, v)
				}
			}
			for j := range ProjectedDim {
				var v float64
				for k := range patch {
					v += patch[k] * float64(matrix[k*ProjectedDim+j])
				}
				if got := float64(e.Projected.Data()[i*ProjectedDim+j]); math.Abs(got-v) > 1e-4 {
					t.Fatalf("%v: projected patch %d, number %d: %g, want %g", shape, i, j, got, v)
				}
			}
		}
	}
}

// TestAveragePoolGolden holds the reference itself to figures worked out by hand.
func TestAveragePoolGolden(t *testing.T) {
	pooled := pool(maps{{{9, 0, 0}, {0, 0, 0}, {0, 0, 18}}})
	want := maps{{{1, 1, 0}, {1, 3, 2}, {0, 2, 2}}}
	for y := range 3 {
		if !slices.Equal(pooled[0][y], want[0][y]) {
			t.Errorf("row %d: %v, want %v", y, pooled[0][y], want[0][y])
		}
	}
	up := bilinear(maps{{{0, 4}}}, 1, 4)
	if !slices.Equal(up[0][0], []float64{0, 1, 3, 4}) {
		t.Errorf("0 4 becomes %v", up[0][0])
	}
}

// TestScoreIsTheReference holds every score of every precision against the reference. What an int8 bank
// gives is near the truth in the map; in the score it is the truth, but for means of many patches.
func TestScoreIsTheReference(t *testing.T) {
	r := start(t)
	random := rand.New(rand.NewPCG(5, 6))
	for _, shape := range shapes {
		features := layers(t, r, shape...)
		patches := referencePatches(features)
		bank := Bank{Rows: 50, Dim: len(patches[0])}
		for range bank.Rows * bank.Dim {
			bank.Vectors = append(bank.Vectors, random.Float32())
		}
		want := nearest(patches, bank)
		for _, o := range []Options{
			{Max, 0, FP32}, {Max, 0, Int8}, {Reweighted, 0, FP32}, {Reweighted, 0, Int8},
			{MeanTopK, 1, Int8}, {MeanTopK, 3, Int8}, {MeanTopK, 5, FP32}, {MeanTopK, 5, Int8}, {MeanTopK, 1000, FP32},
			{MaxMean, 0, FP32}, {MaxMean, 0, Int8},
		} {
			s, err := NewScorer(r, features, bank, nil, o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			got, m, err := s.Score()
			if err != nil {
				t.Fatal(err)
			}
			if m.Width != shape[0][2] || m.Height != shape[0][1] || len(m.Cells) != len(want) {
				t.Fatalf("%v: map of %dx%d with %d cells", shape, m.Width, m.Height, len(m.Cells))
			}
			tolerance := 1e-5
			if o.Precision == Int8 {
				tolerance = 2e-2
			}
			for i, w := range want {
				within(t, fmt.Sprintf("%v, %v: patch %d", shape, o, i), float64(m.Cells[i]), float32(w), tolerance)
				if _, d := s.Nearest(i); math.Abs(d-w) > 1e-5*w {
					t.Errorf("%v: patch %d is %g from its nearest vector, want %g", shape, i, d, w)
				}
			}
			tolerance = 1e-5
			if (o.TopK > MostExact || o.Score == MaxMean) && o.Precision == Int8 {
				tolerance = 5e-3
			}
			within(t, fmt.Sprintf("%v, %v", shape, o), got, float32(score(patches, m.Width, bank, o)), tolerance)
		}
	}
}

// TestInt8OfExtremeBanks: a row that is the mean itself, a single row, rows of very different lengths, and
// numbers at both ends of their range, where sums of 16 bits would run over.
func TestInt8OfExtremeBanks(t *testing.T) {
	r := start(t)
	features := layers(t, r, [3]int{64, 5, 5})
	for i := range features[0].Tensor.Data() {
		features[0].Tensor.Data()[i] = float32(10 * (1 - i%2))
	}
	patches := referencePatches(features)
	ends := make([]float32, 3*64)
	for j := range 64 {
		ends[j], ends[64+j], ends[128+j] = 10, -10, 0
	}
	long := make([]float32, 2*64)
	for j := range 64 {
		long[j], long[64+j] = float32(j), 1
	}
	for _, bank := range []Bank{{Rows: 3, Dim: 64, Vectors: ends}, {Rows: 1, Dim: 64, Vectors: ends[:64]}, {Rows: 2, Dim: 64, Vectors: long}} {
		s, err := NewScorer(r, features, bank, nil, Options{Score: Max, Precision: Int8})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		got, m, err := s.Score()
		if err != nil {
			t.Fatal(err)
		}
		want := nearest(patches, bank)
		within(t, fmt.Sprintf("score by %d rows", bank.Rows), got, float32(slices.Max(want)), 1e-5)
		for i, w := range want {
			if !(math.Abs(float64(m.Cells[i])-w) <= 0.02*w) {
				t.Errorf("bank of %d rows, patch %d: %g, want %g", bank.Rows, i, m.Cells[i], w)
			}
		}
	}
}

func TestAgree(t *testing.T) {
	exact := []float64{1, 2, 3, 4, 5}
	for _, c := range []struct {
		int8 []float64
		want Agreement
	}{
		{[]float64{1, 2, 3, 4, 5}, Agreement{5, 0, 1, true}},
		{[]float64{1, 2, 3, 4, 5.25}, Agreement{5, 0.05, 1, false}},
		{[]float64{2, 1, 3, 4, 5}, Agreement{5, 1, 0.9, false}},
	} {
		got := Agree(exact, c.int8)
		if math.Abs(got.Spearman-c.want.Spearman) > 1e-12 || math.Abs(got.MaxRelative-c.want.MaxRelative) > 1e-12 || got.OK != c.want.OK {
			t.Errorf("%v: %+v, want %+v", c.int8, got, c.want)
		}
	}
	for i := range exact {
		int8 := slices.Clone(exact)
		int8[i] = math.NaN()
		if got := Agree(exact, int8); got.OK || !math.IsNaN(got.MaxRelative) {
			t.Errorf("agreement with what is no number: %+v", got)
		}
	}
	if Agree(nil, nil).OK {
		t.Error("agreement of nothing")
	}
}

// TestScoreOfWhatTheBankHolds: a patch that is itself in the bank is at distance zero, but for rounding.
func TestScoreOfWhatTheBankHolds(t *testing.T) {
	r := start(t)
	features := layers(t, r, shapes[0]...)
	var bank Bank
	for _, p := range referencePatches(features) {
		bank.Rows, bank.Dim = bank.Rows+1, len(p)
		for _, v := range p {
			bank.Vectors = append(bank.Vectors, float32(v))
		}
	}
	s, err := NewScorer(r, features, bank, nil, Options{Score: Max, Precision: FP32})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if score, _, err := s.Score(); err != nil || score > 2e-3 {
		t.Errorf("score %g, %v", score, err)
	}
}

// TestScoreCarriesNaN: one number that is not finite anywhere in the features must never come out as a
// small score.
func TestScoreCarriesNaN(t *testing.T) {
	r := start(t)
	bank := Bank{Rows: neighbours, Dim: 11, Vectors: make([]float32, neighbours*11)}
	for i := range bank.Dim {
		bank.Vectors[i] = float32(i)
	}
	for _, o := range []Options{{Max, 0, FP32}, {Max, 0, Int8}, {Reweighted, 0, Int8}, {MeanTopK, 3, FP32}, {MeanTopK, 3, Int8}, {MaxMean, 0, FP32}, {MaxMean, 0, Int8}} {
		features := layers(t, r, shapes[0]...)
		s, err := NewScorer(r, features, bank, nil, o)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, poison := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 3e38, -3e38} {
			for _, f := range features {
				for _, at := range []int{0, len(f.Tensor.Data()) / 2, len(f.Tensor.Data()) - 1} {
					kept := f.Tensor.Data()[at]
					f.Tensor.Data()[at] = poison
					score, _, err := s.Score()
					if err != nil || !math.IsNaN(score) {
						t.Errorf("%v: with %g among the features the score is %g, %v", o, poison, score, err)
					}
					f.Tensor.Data()[at] = kept
				}
			}
			if score, _, err := s.Score(); err != nil || math.IsNaN(score) {
				t.Errorf("%v: without it the score is %g, %v", o, score, err)
			}
		}
	}
}

func TestOptionsRefuse(t *testing.T) {
	for _, o := range []Options{{}, {"least", 0, FP32}, {Max, 0, "int4"}, {MeanTopK, 0, FP32}, {MeanTopK, -1, Int8}} {
		if o.Check() == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

func TestScorerRefusesAWrongBank(t *testing.T) {
	r := start(t)
	features := layers(t, r, shapes[0]...)
	for _, bank := range []Bank{{}, {Rows: 1, Dim: 10, Vectors: make([]float32, 10)}, {Rows: 2, Dim: 11, Vectors: make([]float32, 21)}} {
		if _, err := NewScorer(r, features, bank, nil, Options{Score: Max, Precision: FP32}); err == nil {
			t.Errorf("a bank of %d x %d with %d numbers is taken for patches of 11", bank.Rows, bank.Dim, len(bank.Vectors))
		}
	}
	// The share of the nearest among few neighbours is great, and so the score of anything is small.
	if _, err := NewScorer(r, features, Bank{Rows: 8, Dim: 11, Vectors: make([]float32, 88)}, nil, Options{Score: Reweighted, Precision: FP32}); err == nil {
		t.Error("a bank of 8 vectors is taken for the reweighted score")
	}
}

// TestCoresetIsGreedy compares the lazy choice with the one that computes everything, on whole numbers,
// where no rounding can excuse a difference and ties abound.
func TestCoresetIsGreedy(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for trial := range 300 {
		dim, n := 1+random.IntN(20), 1+random.IntN(200)
		spread := 1 + random.IntN(9) // few values: many equal distances and equal rows
		points, exact := make([]float32, n*dim), make([]float64, n*dim)
		for i := range points {
			exact[i] = float64(random.IntN(spread))
			points[i] = float32(exact[i])
		}
		var rows []int
		for row := range n {
			if random.IntN(4) > 0 || row == 0 {
				rows = append(rows, row)
			}
		}
		size := 1 + random.IntN(len(rows))
		got, err := Coreset(t.Context(), points, dim, rows, size, uint64(trial), nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := greedy(exact, dim, rows, size, got[0]); !slices.Equal(got, want) {
			t.Fatalf("trial %d: %d of %d rows of %d numbers: chose %v, want %v", trial, size, len(rows), dim, got, want)
		}
	}
}

// TestExtendIsGreedy: what a bank lacks is what the greedy choice would go on with, until the rest lies
// within the least distance between two vectors of the bank.
func TestExtendIsGreedy(t *testing.T) {
	random := rand.New(rand.NewPCG(17, 18))
	added, stopped := 0, 0
	for trial := range 300 {
		dim, old, fresh := 1+random.IntN(5), 2+random.IntN(60), 1+random.IntN(60)
		points, exact := make([]float32, (old+fresh)*dim), make([]float64, (old+fresh)*dim)
		for i := range points {
			exact[i] = float64(random.IntN(9))
			if i >= old*dim {
				exact[i] += float64(random.IntN(2) * 9) // new ones may lie where no old one does
			}
			points[i] = float32(exact[i])
		}
		oldRows, newRows := make([]int, old), make([]int, fresh)
		for i := range oldRows {
			oldRows[i] = i
		}
		for i := range newRows {
			newRows[i] = old + i
		}
		held, err := Coreset(t.Context(), points, dim, oldRows, 1+random.IntN(old), uint64(trial), nil)
		if err != nil {
			t.Fatal(err)
		}
		var bank []float32
		for _, row := range held {
			bank = append(bank, points[row*dim:(row+1)*dim]...)
		}
		most := 1 + random.IntN(fresh)
		base, err := NewBase(bank, dim)
		if err != nil {
			t.Fatal(err)
		}
		got, err := base.Extend(t.Context(), points, newRows, most, nil)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := base.Extend(t.Context(), points, newRows, most, nil); err != nil || !slices.Equal(again, got) {
			t.Fatalf("trial %d: added %v, then %v, %v", trial, got, again, err)
		}
		want := lacking(exact, dim, held, newRows, most)
		if !slices.Equal(got, want) {
			t.Fatalf("trial %d: added %v, want %v", trial, got, want)
		}
		added += len(got)
		if len(got) < most {
			stopped++
		}
	}
	if added == 0 || stopped == 0 {
		t.Errorf("%d rows were added; %d times the rest was near enough: the trials show nothing", added, stopped)
	}
	if _, err := NewBase(nil, 4); err == nil {
		t.Error("an empty bank can be extended")
	}
}

func TestProjectIsTheEmbeddersProjection(t *testing.T) {
	r := start(t)
	e, err := NewEmbedder(r, layers(t, r, shapes[0]...), 7)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.Run(); err != nil {
		t.Fatal(err)
	}
	for i, v := range Project(e.Patches.Data(), e.Dim, 7) {
		if want := e.Projected.Data()[i]; math.Abs(float64(v-want)) > 1e-5 {
			t.Fatalf("number %d: %g, want %g", i, v, want)
		}
	}
}

func TestCoresetOfNothingAndInterrupted(t *testing.T) {
	if rows, err := Coreset(t.Context(), nil, 4, nil, 10, 1, nil); len(rows) != 0 || err != nil {
		t.Errorf("of nothing: %v, %v", rows, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	points := make([]float32, 4*100)
	for i := range points {
		points[i] = float32(i)
	}
	rows := make([]int, 100)
	for i := range rows {
		rows[i] = i
	}
	_, err := Coreset(ctx, points, 4, rows, 50, 1, func(done int) {
		if done == 10 {
			stop()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// TestProjectionKeepsDistances: lengths survive to within a fifth for nearly all of many vectors.
func TestProjectionKeepsDistances(t *testing.T) {
	const dim = 384
	matrix := projection(dim, 9)
	random := rand.New(rand.NewPCG(9, 9))
	off := 0
	for range 500 {
		var before, after float64
		v := make([]float64, dim)
		for i := range v {
			v[i] = random.NormFloat64()
			before += v[i] * v[i]
		}
		for j := range ProjectedDim {
			var sum float64
			for i := range v {
				sum += v[i] * float64(matrix[i*ProjectedDim+j])
			}
			after += sum * sum
		}
		if ratio := math.Sqrt(after / before); ratio < 0.8 || ratio > 1.2 {
			off++
		}
	}
	if off > 5 {
		t.Errorf("%d of 500 lengths changed by more than a fifth", off)
	}
	if !slices.Equal(matrix, projection(dim, 9)) || slices.Equal(matrix, projection(dim, 10)) {
		t.Error("the seed alone must decide the projection")
	}
}

func BenchmarkCoreset(b *testing.B) {
	const n, dim = 40_000, ProjectedDim
	random := rand.New(rand.NewPCG(1, 1))
	points := make([]float32, n*dim)
	for i := range points {
		points[i] = random.Float32()
	}
	rows := make([]int, n)
	for i := range rows {
		rows[i] = i
	}
	for b.Loop() {
		if _, err := Coreset(b.Context(), points, dim, rows, 500, 1, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkScore is the head alone: the patches of a ResNet-18 at 256 x 256 against banks of two sizes.
func BenchmarkScore(b *testing.B) {
	r, err := network.Start("", network.CPU, 0)
	if err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	for _, rows := range []int{4096, 16384} {
		bank := Bank{Rows: rows, Dim: 384, Vectors: make([]float32, rows*384)}
		for i := range bank.Vectors {
			bank.Vectors[i] = random.Float32()
		}
		features := layers(b, r, [3]int{128, 32, 32}, [3]int{256, 16, 16})
		for _, o := range []Options{{Max, 0, FP32}, {Max, 0, Int8}, {Reweighted, 0, Int8}} {
			b.Run(fmt.Sprint(rows, " ", o.Score, " ", o.Precision), func(b *testing.B) {
				s, err := NewScorer(r, features, bank, nil, o)
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				for b.Loop() {
					if _, _, err := s.Score(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
