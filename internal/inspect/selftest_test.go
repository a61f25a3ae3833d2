package inspect

import (
	"math"
	"slices"
	"strings"
	"testing"

	"linectl/internal/hint"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
)

// TestSelfTest: a station whose golden pictures score otherwise than in training is not opened.
func TestSelfTest(t *testing.T) {
	_, r, cfg, folders := trained(t)
	if len(r.Golden) != goldenPictures {
		t.Fatalf("%d golden pictures", len(r.Golden))
	}
	allowed := closeFloat
	if r.Method.Precision != "fp32" {
		allowed = closeOther
	}
	was := r.Golden[1].Score
	for _, test := range []struct {
		score float64
		ok    bool
	}{{was, true}, {was * (1 + 0.9*allowed), true}, {was * (1 + 1.2*allowed), false}, {was * (1 - 1.2*allowed), false}, {0, false}} {
		r.Golden[1].Score = test.score
		i, err := OpenRecipe(cfg, folders, r, quiet)
		if (err == nil) != test.ok {
			t.Errorf("a golden score of %g where %g is right: %v", test.score, was, err)
		}
		if err == nil {
			i.Close()
		} else if !strings.Contains(err.Error(), "self-test on cpu failed: golden picture "+r.Golden[1].File) || hint.Of(err) == "" {
			t.Errorf("error %q", err)
		}
	}
	// What was learned is another than what scored the pictures.
	r.Golden[1].Score = was
	for k := range r.Bank.Vectors {
		r.Bank.Vectors[k] *= 1.1
	}
	if _, err := OpenRecipe(cfg, folders, r, quiet); err == nil {
		t.Error("another bank passes the self-test")
	}
	r.Golden[0].Picture = []byte("no picture")
	if _, err := OpenRecipe(cfg, folders, r, quiet); err == nil {
		t.Error("a golden picture that cannot be read passes the self-test")
	}
}

// TestSelfTestOfLearnedPictures: where a bank holds every patch, golden pictures score next to nothing, and another machine's rounding
// is many times that.
func TestSelfTestOfLearnedPictures(t *testing.T) {
	cfg, folders, o := bench(t)
	o.Bank, o.Precision, o.Score = 4096, "fp32", patchcore.Max
	r, err := Train(t.Context(), cfg, folders, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if was := r.Golden[0].Score; was > 1e-3*r.Threshold.Value {
		t.Fatalf("a picture that was learned whole scores %g", was)
	}
	for _, c := range []struct {
		share float64
		ok    bool
	}{{5e-5, true}, {0.01, false}} {
		r.Golden[0].Score = c.share * r.Threshold.Value
		i, err := OpenRecipe(cfg, folders, r, quiet)
		if (err == nil) != c.ok {
			t.Errorf("off by %g of the threshold: %v", c.share, err)
		}
		if err == nil {
			i.Close()
		}
	}
}

// TestRevisions: zones and thresholds change what parts are judged by, without training.
func TestRevisions(t *testing.T) {
	_, r, cfg, folders := trained(t)
	shelf := recipe.Folder(folders.Recipes)
	by := recipe.Change{Who: "eva", Why: "test"}
	judged := func(r *recipe.Recipe, seed uint64, defect bool) part.Finding {
		t.Helper()
		i, err := OpenRecipe(cfg, folders, r, quiet)
		if err != nil {
			t.Fatal(err)
		}
		defer i.Close()
		found, err := i.Inspect(t.Context(), frame(t, plate(seed, defect)))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	saved := func(draft *recipe.Recipe, err error) *recipe.Recipe {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		made, err := shelf.Save(draft)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	corner := [][2]float64{{0.5, 0}, {1, 0}, {1, 0.5}, {0.5, 0.5}} // the defect lies here

	zoned := saved(AddZone(r, recipe.Zone{Name: "corner", Polygon: corner}, by))
	if zoned.Parent != r.Version || zoned.History[len(zoned.History)-1].Who != "eva" || len(r.Zones) != 0 {
		t.Errorf("derived %+v", zoned.Manifest)
	}
	if z := zoned.Zones[0].Threshold; !(z.Value > 0) || z.Target < r.Threshold.Target || z.Scores != len(r.Pictures) {
		t.Errorf("the zone's threshold is %+v", z)
	}
	if f := judged(zoned, 2000, true); f.Reason != part.Anomaly || f.Zone != "corner" || f.Threshold != zoned.Zones[0].Threshold.Value {
		t.Errorf("a defect in the zone: %+v", f)
	}
	ignoring := saved(AddZone(r, recipe.Zone{Name: "corner", Polygon: corner, Ignore: true}, by))
	if f := judged(ignoring, 2000, true); f.Score >= judged(r, 2000, true).Score || f.Zone != "" {
		t.Errorf("a defect where nothing is judged: %+v", f)
	} else if hottest := slices.Index(f.Map.Cells, slices.Max(f.Map.Cells)); hottest%8 >= 4 && hottest/8 < 4 || f.Map.Cells[6] != 0 {
		t.Errorf("the heatmap shows what is not judged: %v", f.Map.Cells)
	}
	again := saved(RemoveZone(zoned, "corner", by))
	if math.Abs(again.Threshold.Value-r.Threshold.Value) > 1e-9 || judged(again, 2000, true).Score != judged(r, 2000, true).Score {
		t.Errorf("without the zone the threshold is %+v, before %+v", again.Threshold, r.Threshold)
	}

	good := judged(r, 1003, false)
	from := good.Score * 0.99
	chosen := saved(SetThreshold(r, "", Wish{Value: good.Score * 1.01, ReviewFrom: &from}, by))
	if f := judged(chosen, 1003, false); f.Reason != part.None || !f.Review || f.Detail == "" {
		t.Errorf("between review and threshold: %+v", f)
	}
	if chosen.Threshold.Target != 0 || !(chosen.Threshold.Expected >= 0) || chosen.Threshold.Scores != len(r.Pictures) {
		t.Errorf("a chosen threshold promises %+v", chosen.Threshold)
	}
	strict := saved(SetThreshold(r, "", Wish{Value: good.Score}, by))
	if f := judged(strict, 1003, false); f.Reason != part.Anomaly {
		t.Errorf("a score that equals the threshold: %+v", f)
	}

	for name, fails := range map[string]func() (*recipe.Recipe, error){
		"NaN":                func() (*recipe.Recipe, error) { return SetThreshold(r, "", Wish{Value: math.NaN()}, by) },
		"infinite":           func() (*recipe.Recipe, error) { return SetThreshold(r, "", Wish{Value: math.Inf(1)}, by) },
		"negative":           func() (*recipe.Recipe, error) { return SetThreshold(r, "", Wish{Value: -1}, by) },
		"beyond the promise": func() (*recipe.Recipe, error) { return SetThreshold(r, "", Wish{FalseRejects: 1}, by) },
		"review above": func() (*recipe.Recipe, error) {
			return SetThreshold(r, "", Wish{Value: from / 2, ReviewFrom: &from}, by)
		},
		"no such zone": func() (*recipe.Recipe, error) { return SetThreshold(r, "rim", Wish{Value: 1}, by) },
		"zone twice":   func() (*recipe.Recipe, error) { return AddZone(zoned, zoned.Zones[0], by) },
		"zone outside": func() (*recipe.Recipe, error) {
			return AddZone(r, recipe.Zone{Name: "z", Polygon: [][2]float64{{0, 0}, {2, 0}, {0, 1}}}, by)
		},
		"zone not there": func() (*recipe.Recipe, error) { return RemoveZone(r, "corner", by) },
	} {
		if _, err := fails(); hint.KindOf(err) != hint.Usage {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestActivateNeedsProof: a version that passes a known defect is not activated, unless by force and on record.
func TestActivateNeedsProof(t *testing.T) {
	_, r, cfg, folders := trained(t)
	shelf := recipe.Folder(folders.Recipes)
	picture, err := encodePNG(frame(t, plate(2000, true)))
	if err != nil {
		t.Fatal(err)
	}
	if err := shelf.AddChallenges(r.Name, []recipe.Challenge{{Name: "spot.png", Picture: picture}}, recipe.Change{}); err != nil {
		t.Fatal(err)
	}
	blind, err := SetThreshold(r, "", Wish{Value: 1000}, recipe.Change{Who: "eva", Why: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if blind, err = shelf.Save(blind); err != nil {
		t.Fatal(err)
	}
	_, err = Activate(t.Context(), cfg, folders, r.Name, blind.Version, recipe.Event{}, false)
	if err == nil || !strings.Contains(err.Error(), "it does not find 1 of 1 known defects: spot.png (score") {
		t.Errorf("%v", err)
	}
	if active, err := shelf.Active(r.Name); err != nil || active != r.Version {
		t.Errorf("version %d is active, %v", active, err)
	}
	if n, err := Activate(t.Context(), cfg, folders, r.Name, r.Version, recipe.Event{}, false); n != 1 || err != nil {
		t.Errorf("a version that rejects it: %d, %v", n, err)
	}
	if _, err := Activate(t.Context(), cfg, folders, r.Name, blind.Version, recipe.Event{Who: "eva", Why: "sorting by hand"}, true); err != nil {
		t.Fatal(err)
	}
	events, err := shelf.History(r.Name)
	if err != nil {
		t.Fatal(err)
	}
	if last := events[len(events)-1]; last.Version != blind.Version || last.Why != "sorting by hand" || len(last.Forced) != 1 || last.Forced[0] != "spot.png" {
		t.Errorf("history %+v", last)
	}
	if v, err := shelf.Previous(r.Name); err != nil || v != r.Version {
		t.Errorf("a rollback leads to %d, %v", v, err)
	}
}
