package inspect

import (
	"math"
	"slices"
	"testing"

	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/recipe"
)

// TestMapsShowWhatDecides: the highest cell of a map is the score, whatever the score is made of, so that a heatmap shows a place beyond the
// threshold exactly where the part is rejected; and pixels are still judged by the patches.
func TestMapsShowWhatDecides(t *testing.T) {
	cfg, folders, o := bench(t)
	for name, change := range map[string]func(*TrainOptions){
		"padim":    func(o *TrainOptions) { o.Method = recipe.PaDiM },
		"max-mean": func(o *TrainOptions) { o.Score = patchcore.MaxMean },
		"default":  func(*TrainOptions) {},
	} {
		c := o
		c.Name = name
		change(&c)
		whole, err := Train(t.Context(), cfg, folders, c, nil)
		if err != nil {
			t.Fatal(err)
		}
		zoned, err := AddZone(whole, recipe.Zone{Name: "right", Polygon: [][2]float64{{0.5, 0}, {1, 0}, {1, 1}, {0.5, 1}}}, recipe.Change{})
		if err != nil {
			t.Fatal(err)
		}
		zoned.Golden = nil // of no zone
		for _, r := range []*recipe.Recipe{whole, zoned} {
			i, err := OpenRecipe(cfg, folders, r, quiet)
			if err != nil {
				t.Fatal(err)
			}
			for seed, defect := range []bool{false, true} {
				found, err := i.Inspect(t.Context(), frame(t, plate(uint64(1000+seed), defect)))
				if err != nil {
					t.Fatal(err)
				}
				highest := 0.0
				for cell, place := range recipe.Places(r.Zones, found.Map.Width, found.Map.Height) {
					if (place != recipe.Rest) == (found.Zone != "") {
						highest = max(highest, float64(found.Map.Cells[cell]))
					}
				}
				if math.Abs(highest-found.Score) > 0.02*found.Score { // an int8 bank's map is near the truth
					t.Errorf("%s, %d zones, defect %v: scores %g, the highest cell is %g", name, len(r.Zones), defect, found.Score, highest)
				}
				if shown := name != "default"; shown != (len(found.Patches.Cells) == len(found.Map.Cells)) {
					t.Errorf("%s keeps %d patches", name, len(found.Patches.Cells))
				} else if shown && float64(slices.Max(found.Patches.Cells)) < 1.02*found.Score {
					t.Errorf("%s: the greatest patch is at %g, the score is %g: nothing was smoothed", name, slices.Max(found.Patches.Cells), found.Score)
				}
			}
			i.Close()
		}
	}
}
