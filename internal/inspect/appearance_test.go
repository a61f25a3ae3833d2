package inspect

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"linectl/internal/hint"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
)

// washed is a plate whose whole surface is a little off: in colour, everywhere the same.
func washed(seed uint64, by float64) image.Image {
	img := plate(seed, false).(*image.RGBA)
	for i := 0; i < len(img.Pix); i += 4 {
		p := color.RGBA{img.Pix[i], img.Pix[i+1], img.Pix[i+2], 255}
		p.R = uint8(min(255, float64(p.R)*(1+by)))
		p.B = uint8(float64(p.B) * (1 - by))
		copy(img.Pix[i:], []uint8{p.R, p.G, p.B})
	}
	return img
}

// TestAppearanceIsPartOfTheScore: by default the score is the greatest patch distance and the weighted appearance, in finding,
// map and record of the training alike.
func TestAppearanceIsPartOfTheScore(t *testing.T) {
	i, r, _, _ := trained(t)
	if r.Method.Score != patchcore.MaxAppearance || !(r.Method.Appearance > 0) || r.Means.Rows != 30 || r.Means.Dim != r.Bank.Dim {
		t.Fatalf("method %+v, %d means of %d numbers", r.Method, r.Means.Rows, r.Means.Dim)
	}
	for _, p := range r.Pictures {
		if by := float64(slices.Max(p.Map.Cells)); !(p.Appearance >= 0) || math.Abs(p.Score-p.Appearance-by) > 1e-5*by {
			t.Errorf("%s scores %g, of it appearance %g, by its patches %g", p.File, p.Score, p.Appearance, by)
		}
	}
	found, err := i.Inspect(t.Context(), frame(t, plate(2000, true)))
	if err != nil {
		t.Fatal(err)
	}
	if top := float64(slices.Max(found.Map.Cells)); math.Abs(found.Score-top) > 1e-5*top {
		t.Errorf("the score is %g, the greatest cell %g", found.Score, top)
	}
	if least := float64(slices.Min(found.Map.Cells)); !(least >= found.Appearance) || !(found.Appearance > 0) || !strings.Contains(found.Detail, ", of it appearance ") {
		t.Errorf("least cell %g, %s", least, found.Detail)
	}
}

// TestAppearanceSeesTheWhole: what changes all of a picture by little is told from good plates better than by patches alone, and
// a defect in one place no worse.
func TestAppearanceSeesTheWhole(t *testing.T) {
	cfg, folders, o := bench(t)
	o.Name, o.Score = "patches", patchcore.Max
	alone, err := Train(t.Context(), cfg, folders, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, whole, _, all := trained(t)
	share := func(folders Folders, r *recipe.Recipe, draw func(seed uint64) image.Image) (caught int) {
		i, err := OpenRecipe(cfg, folders, r, quiet)
		if err != nil {
			t.Fatal(err)
		}
		defer i.Close()
		for seed := range uint64(40) {
			found, err := i.Inspect(t.Context(), frame(t, draw(3000+seed)))
			if err != nil {
				t.Fatal(err)
			}
			if found.Reason == part.Anomaly {
				caught++
			}
		}
		return caught
	}
	off := func(seed uint64) image.Image { return washed(seed, 0.14) }
	spot := func(seed uint64) image.Image { return plate(seed, true) }
	if a, b := share(all, whole, off), share(folders, alone, off); a < b+10 {
		t.Errorf("of 40 plates with a tinge %d are caught, by patches alone %d", a, b)
	}
	if a, b := share(all, whole, spot), share(folders, alone, spot); a < b {
		t.Errorf("of 40 plates with a spot %d are caught, by patches alone %d", a, b)
	}
}

// TestZonesAreJudgedByPatchesAlone: what lies outside a zone changes nothing in it, not by the appearance either; and a
// threshold that was chosen as a score in one unit is not taken for one in the other.
func TestZonesAreJudgedByPatchesAlone(t *testing.T) {
	_, r, cfg, folders := trained(t)
	shelf := recipe.Folder(folders.Recipes)
	left := recipe.Zone{Name: "left", Polygon: [][2]float64{{0, 0}, {0.25, 0}, {0.25, 1}, {0, 1}}}
	rest := recipe.Zone{Name: "rest", Polygon: [][2]float64{{0.25, 0}, {1, 0}, {1, 1}, {0.25, 1}}, Ignore: true}
	draft, err := AddZone(r, left, recipe.Change{})
	if err == nil {
		draft, err = AddZone(draft, rest, recipe.Change{})
	}
	if err != nil {
		t.Fatal(err)
	}
	zoned, err := shelf.Save(draft)
	if err != nil {
		t.Fatal(err)
	}
	i, err := OpenRecipe(cfg, folders, zoned, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	judge, err := newJudge(zoned.Manifest, 8, 8, nil)
	if err != nil {
		t.Fatal(err)
	}
	var scores [2]float64
	for n, defect := range []bool{false, true} { // far to the right of the zone
		found, err := i.Inspect(t.Context(), frame(t, plate(1001, defect)))
		if err != nil || found.Zone != "left" || found.Appearance != 0 {
			t.Fatalf("%+v, %v", found, err)
		}
		if top := judge.score(found.Map, 0); math.Abs(found.Score-top) > 1e-2*top { // the map is that of an int8 bank
			t.Errorf("the zone scores %g, its greatest cell %g", found.Score, top)
		}
		scores[n] = found.Score
	}
	if math.Abs(scores[0]-scores[1]) > 0.15*scores[0] { // the network's cells see beyond the zone a little
		t.Errorf("the zone scores %g without and %g with a spot outside it", scores[0], scores[1])
	}
	greatest := 0.0
	for _, p := range r.Pictures {
		greatest = max(greatest, judge.score(p.Map, 0))
	}
	if got := zoned.Zones[0].Threshold.Greatest; math.Abs(got-greatest) > 1e-9 {
		t.Errorf("the zone's threshold is of scores up to %g, its cells come to %g", got, greatest)
	}

	chosen, err := SetThreshold(r, "", Wish{Value: r.Threshold.Value * 1.1}, recipe.Change{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := AddZone(chosen, left, recipe.Change{}); hint.KindOf(err) != hint.Usage || !strings.Contains(fmt.Sprint(err), "was chosen as a score") || !strings.Contains(hint.Of(err), "'linectl threshold plate@") {
		t.Errorf("a zone beside a threshold that was given as a score: %v", err)
	}
	if again, err := RemoveZone(draft, "rest", recipe.Change{}); err != nil {
		t.Error(err)
	} else if again, err = RemoveZone(again, "left", recipe.Change{}); err != nil || math.Abs(again.Threshold.Value-r.Threshold.Value) > 1e-9 {
		t.Errorf("without the zones again: %+v, %v", again.Threshold, err)
	}
}

// TestAddLearnsTheAppearance: plates with another tinge are of the recipe's appearance once they were added.
func TestAddLearnsTheAppearance(t *testing.T) {
	i, r, cfg, folders := trained(t)
	dir := t.TempDir()
	for n := range 12 {
		save(t, filepath.Join(dir, fmt.Sprintf("%d.png", n)), washed(uint64(7000+n), 0.2))
	}
	made, err := Add(t.Context(), cfg, folders, TrainOptions{Name: "plate", Good: dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if made.Method.Appearance != r.Method.Appearance || made.Means.Rows != r.Means.Rows+12 || !slices.Equal(made.Means.Vectors[:len(r.Means.Vectors)], r.Means.Vectors) {
		t.Fatalf("weight %g after %g, %d means after %d", made.Method.Appearance, r.Method.Appearance, made.Means.Rows, r.Means.Rows)
	}
	// The pictures that were there have the appearance that they have beside all others of now, and no other score by their patches.
	changed := 0
	for i, p := range r.Pictures {
		if q := made.Pictures[i]; math.Abs(q.Score-q.Appearance-p.Score+p.Appearance) > 1e-9 {
			t.Errorf("%s scores %g by its patches, before %g", p.File, q.Score-q.Appearance, p.Score-p.Appearance)
		} else if q.Appearance != p.Appearance {
			changed++
		}
	}
	if changed < len(r.Pictures)/2 { // that of the most ordinary ones adds nothing, then as now
		t.Errorf("%d of %d pictures have the appearance anew", changed, len(r.Pictures))
	}
	now, err := OpenRecipe(cfg, folders, made, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer now.Close()
	another := frame(t, washed(8000, 0.2))
	if _, err := i.raw(another); err != nil {
		t.Fatal(err)
	}
	before := appearance(i.scorer)
	if _, err := now.raw(another); err != nil {
		t.Fatal(err)
	}
	after := appearance(now.scorer)
	if _, err := now.raw(frame(t, plate(8000, false))); err != nil {
		t.Fatal(err)
	}
	if ordinary := appearance(now.scorer); !(after-ordinary < (before-ordinary)/2) {
		t.Errorf("the tinge adds %g, before %g, an ordinary plate %g", after, before, ordinary)
	}
}

// TestOddAsAWhole: a good picture whose patches are ordinary, and which is unlike the others as a whole, is named, and learned.
func TestOddAsAWhole(t *testing.T) {
	cfg, folders, o := bench(t)
	save(t, filepath.Join(o.Good, "tinge.png"), washed(900, 0.14))
	var notes []string
	o.Note = func(text string) { notes = append(notes, text) }
	o.Sheet = filepath.Join(t.TempDir(), "sheet.png")
	r, err := Train(t.Context(), cfg, folders, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(r.Pictures, func(p recipe.Picture) bool { return p.File == "tinge.png" })
	if at < 0 || !r.Pictures[at].Suspect || !strings.Contains(strings.Join(notes, "\n"), "unlike the rest as a whole, in light, colour or finish, look at them: ") || !strings.Contains(strings.Join(notes, "\n"), "tinge.png; they were learned") {
		t.Errorf("picture %d, notes %q", at, notes)
	}
	suspectIsFirst(t, o.Sheet)
}
