package inspect

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"linectl/internal/inspect/patchcore"
)

// TestPrefer: a score that tells bad from good clearly better is taken, one that is better by chance or by nothing
// is not, and the least number of pictures that says anything is enough.
func TestPrefer(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 5))
	normal := func(n int, mean float64) []float64 {
		values := make([]float64, n)
		for i := range values {
			values[i] = mean + random.NormFloat64()
		}
		return values
	}
	shifted := func(values []float64, by float64) []float64 {
		all := make([]float64, len(values))
		for i, v := range values {
			all[i] = v + by*random.NormFloat64()
		}
		return all
	}
	good, bad := normal(60, 0), normal(60, 1)
	if best, text := prefer([][]float64{good, good, good}, [][]float64{bad, bad, bad}, 1); best != 0 ||
		!strings.Contains(text, "60 held-out good and 60 challenge pictures") || !strings.Contains(text, "+0.000 ± 0.000 with max,") {
		t.Errorf("the same scores: %d, %s", best, text)
	}
	if best, text := prefer([][]float64{good, shifted(good, 0), normal(60, 0)}, [][]float64{bad, shifted(bad, 0), normal(60, 4)}, 1); best != 2 {
		t.Errorf("a clearly better one: %d, %s", best, text)
	}
	if best, text := prefer([][]float64{good, normal(60, 0), good}, [][]float64{bad, normal(60, -1), bad}, 1); best != 0 {
		t.Errorf("a worse one: %d, %s", best, text)
	}
	// Scores that are as good as the first and differ by chance: two standard errors are exceeded seldom.
	taken := 0
	for trial := range 100 {
		good, bad := normal(15, 0), normal(15, 1)
		if best, _ := prefer([][]float64{good, shifted(good, 0.3)}, [][]float64{bad, shifted(bad, 0.3)}, uint64(trial)); best != 0 {
			taken++
		}
	}
	if taken > 15 {
		t.Errorf("a score that is no better was taken %d times in 100", taken)
	}
}

// TestChoiceOfTheScore: known defects choose, and the recipe keeps the evidence; a score that was asked for stays,
// and few pictures choose nothing.
func TestChoiceOfTheScore(t *testing.T) {
	cfg, folders, o := bench(t)
	o.Challenge = t.TempDir()
	for i := range leastToChoose {
		save(t, filepath.Join(o.Challenge, fmt.Sprintf("%d.png", i)), plate(uint64(300+i), true))
	}
	var notes []string
	o.Note = func(text string) { notes = append(notes, text) }
	r, err := Train(t.Context(), cfg, folders, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(r.Method.Choice, "10 challenge pictures: AUROC ") || !strings.Contains(strings.Join(notes, "\n"), "score "+r.Method.Score+": "+r.Method.Choice) {
		t.Errorf("choice %q, notes %q", r.Method.Choice, notes)
	}
	o.Name, o.Score = "asked", patchcore.MaxMean
	if r, err = Train(t.Context(), cfg, folders, o, nil); err != nil || r.Method.Score != patchcore.MaxMean || r.Method.Choice != "" {
		t.Errorf("%+v, %v", r.Method, err)
	}
}
