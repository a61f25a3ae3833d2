package evaluate

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// shot is a map with its mask.
type shot struct {
	width, height int
	scores        []float32
	mask          []bool
}

// shots draws maps with scores of few values, so that there are ties, and masks with several regions.
func shots(random *rand.Rand) []shot {
	all := make([]shot, 1+random.IntN(4))
	for i := range all {
		s := shot{width: 3 + random.IntN(12), height: 3 + random.IntN(12)}
		s.scores, s.mask = make([]float32, s.width*s.height), make([]bool, s.width*s.height)
		for j := range s.scores {
			s.mask[j] = random.IntN(4) == 0
			s.scores[j] = float32(random.IntN(9)) / 2
			if s.mask[j] {
				s.scores[j] += float32(random.IntN(4))
			}
		}
		all[i] = s
	}
	all[0].mask[0], all[0].mask[1] = true, false
	return all
}

// slow computes both figures from their definitions: every threshold, every region a list of pixels found by
// spreading labels until nothing changes.
func slow(all []shot) (auroc, pro float64) {
	var good, bad []float64
	var lists [][]float64 // scores of each region
	thresholds := []float64{math.Inf(1)}
	for _, s := range all {
		label := make([]int, len(s.mask))
		for i := range label {
			label[i] = i
		}
		for changed := true; changed; {
			changed = false
			for a := range s.mask {
				for b := range s.mask {
					dx, dy := a%s.width-b%s.width, a/s.width-b/s.width
					if s.mask[a] && s.mask[b] && dx*dx <= 1 && dy*dy <= 1 && label[b] < label[a] {
						label[a], changed = label[b], true
					}
				}
			}
		}
		region := map[int][]float64{}
		for i, score := range s.scores {
			thresholds = append(thresholds, float64(score))
			if s.mask[i] {
				bad = append(bad, float64(score))
				region[label[i]] = append(region[label[i]], float64(score))
			} else {
				good = append(good, float64(score))
			}
		}
		for _, r := range region {
			lists = append(lists, r)
		}
	}
	reach := func(scores []float64, t float64) float64 {
		n := 0
		for _, s := range scores {
			if s >= t {
				n++
			}
		}
		return float64(n) / float64(len(scores))
	}
	slices.Sort(thresholds)
	thresholds = slices.Compact(thresholds)
	slices.Reverse(thresholds)
	lastF, lastO := 0.0, 0.0
	for _, t := range thresholds {
		f, o := reach(good, t), 0.0
		for _, r := range lists {
			o += reach(r, t) / float64(len(lists))
		}
		if lastF < MostFalse && f > lastF {
			end, at := f, o
			if f > MostFalse {
				end, at = MostFalse, lastO+(o-lastO)*(MostFalse-lastF)/(f-lastF)
			}
			pro += (end - lastF) * (lastO + at) / 2
		}
		lastF, lastO = f, o
	}
	return AUROC(good, bad), pro / MostFalse
}

func figures(t *testing.T, all []shot) (auroc, pro float64) {
	t.Helper()
	var p Pixels
	for _, s := range all {
		if err := p.Add(s.width, s.height, s.scores, s.mask); err != nil {
			t.Fatal(err)
		}
	}
	auroc, pro, err := p.Figures()
	if err != nil {
		t.Fatal(err)
	}
	return auroc, pro
}

func TestFiguresAreTheirDefinitions(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 60 {
		all := shots(random)
		auroc, pro := figures(t, all)
		wantAUROC, wantPRO := slow(all)
		if math.Abs(auroc-wantAUROC) > 1e-9 || math.Abs(pro-wantPRO) > 1e-9 {
			t.Fatalf("AUROC %.12f, want %.12f; PRO %.12f, want %.12f", auroc, wantAUROC, pro, wantPRO)
		}
	}
}

// TestFiguresDependOnOrderOnly: a map of all scores that keeps their order changes nothing.
func TestFiguresDependOnOrderOnly(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		all := shots(random)
		auroc, pro := figures(t, all)
		for i := range all {
			for j, s := range all[i].scores {
				all[i].scores[j] = float32(math.Exp(float64(s)) * 7)
			}
		}
		if a, p := figures(t, all); math.Abs(a-auroc) > 1e-12 || math.Abs(p-pro) > 1e-12 {
			t.Fatalf("AUROC %g became %g, PRO %g became %g", auroc, a, pro, p)
		}
	}
}

// TestSmallRegionsWeighAsLargeOnes: of two defects, one of 100 pixels and one of 1, finding only the large one
// is half the work.
func TestSmallRegionsWeighAsLargeOnes(t *testing.T) {
	s := shot{40, 40, make([]float32, 1600), make([]bool, 1600)}
	for y := range 10 {
		for x := range 10 {
			s.mask[y*40+x], s.scores[y*40+x] = true, 2
		}
	}
	s.mask[1599] = true
	for i := range s.scores {
		if s.scores[i] == 0 && i != 1599 {
			s.scores[i] = 1 // everything else scores more than the small defect
		}
	}
	auroc, pro := figures(t, []shot{s})
	if math.Abs(pro-0.5) > 1e-12 || math.Abs(auroc-100.0/101) > 1e-12 {
		t.Errorf("PRO %g, AUROC %g", pro, auroc)
	}
}

func TestPixelsRefuse(t *testing.T) {
	var p Pixels
	nan := float32(math.NaN())
	for _, s := range []shot{
		{2, 2, []float32{1, 2, 3}, nil}, {2, 1, []float32{1, 2}, []bool{true}}, {0, 0, nil, nil},
		{2, 1, []float32{1, nan}, nil}, {2, 1, []float32{1, -1}, nil}, {2, 1, []float32{1, float32(math.Inf(1))}, nil},
	} {
		if err := p.Add(s.width, s.height, s.scores, s.mask); err == nil {
			t.Errorf("%v was taken", s)
		}
	}
	if _, _, err := p.Figures(); !errors.Is(err, ErrOneSided) {
		t.Errorf("figures of nothing: %v", err)
	}
	if err := p.Add(2, 1, []float32{1, 2}, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Figures(); !errors.Is(err, ErrOneSided) {
		t.Errorf("figures without a defect: %v", err)
	}
}

// TestRateLaws: the interval holds the share, grows with the count, is symmetric, and is where the score test ends.
func TestRateLaws(t *testing.T) {
	for of := 1; of < 60; of++ {
		last := Rate{Value: -1, Low: -1, High: -1}
		for count := 0; count <= of; count++ {
			r := NewRate(count, of)
			if !(0 <= r.Low && r.Low <= r.Value && r.Value <= r.High && r.High <= 1) || !(r.Low > last.Low && r.High > last.High) {
				t.Fatalf("%d of %d: %+v after %+v", count, of, r, last)
			}
			mirror := NewRate(of-count, of)
			if math.Abs(mirror.Low-(1-r.High)) > 1e-12 {
				t.Fatalf("%d of %d: %+v, mirrored %+v", count, of, r, mirror)
			}
			// Wilson's interval is where the score test would not refuse p: its ends solve |share-p| = z·sd(p).
			for _, p := range []float64{r.Low, r.High} {
				if d := math.Abs(r.Value - p); p > 0 && p < 1 && math.Abs(d-1.959964*math.Sqrt(p*(1-p)/float64(of))) > 1e-6 {
					t.Fatalf("%d of %d: %g is no end of the interval", count, of, p)
				}
			}
			last = r
		}
	}
	if r := NewRate(0, 0); !math.IsNaN(r.Value) || r.Low != 0 || r.High != 1 {
		t.Errorf("of nothing: %+v", r)
	}
}
