package inspect

import (
	"fmt"
	"image"
	"image/draw"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"linectl/internal/hint"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
)

// TestAdd: more good pictures of another look are learned in a version of their own, whose parent still works.
func TestAdd(t *testing.T) {
	i, r, cfg, folders := trained(t)
	dir := t.TempDir()
	for n := range 8 {
		save(t, filepath.Join(dir, fmt.Sprintf("%d.png", n)), plate(uint64(7000+n), true)) // spots are allowed from now on
	}
	spot := frame(t, plate(8000, true))
	before, err := i.Inspect(t.Context(), spot)
	if err != nil || before.Reason != part.Anomaly {
		t.Fatalf("%+v, %v", before, err)
	}
	made, err := Add(t.Context(), cfg, folders, TrainOptions{Name: "plate", Good: dir, Who: "a", Why: "b"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if made.Parent != r.Version || made.Version != r.Version+1 || len(made.Pictures) != len(r.Pictures)+8 || made.Bank.Rows <= r.Bank.Rows ||
		!slices.Equal(made.Bank.Vectors[:len(r.Bank.Vectors)], r.Bank.Vectors) || made.Threshold.Scores != len(made.Pictures) {
		t.Errorf("version %d of %d: %d pictures, %d vectors", made.Version, made.Parent, len(made.Pictures), made.Bank.Rows)
	}
	if last := made.History[len(made.History)-1]; last.Who != "a" || last.Why != "b" || last.What != "8 pictures added" {
		t.Errorf("history %+v", made.History)
	}
	now, err := OpenRecipe(cfg, folders, made, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer now.Close()
	if after, err := now.Inspect(t.Context(), spot); err != nil || after.Score > before.Score/2 {
		t.Errorf("the spot scores %g, before %g; %v", after.Score, before.Score, err)
	}
	if _, err := Add(t.Context(), cfg, folders, TrainOptions{Name: "plate", Good: filepath.Join(filepath.Dir(dir), "none")}, nil); hint.KindOf(err) != hint.Usage {
		t.Errorf("no folder: %v", err)
	}
}

// TestAddRefusesOtherShapes: a picture of another camera would be stretched, learned, and end the check of shapes for good.
func TestAddRefusesOtherShapes(t *testing.T) {
	_, r, cfg, folders := trained(t)
	dir := t.TempDir()
	save(t, filepath.Join(dir, "same.png"), plate(7000, false))
	wide := image.NewRGBA(image.Rect(0, 0, 96, 60))
	draw.Draw(wide, wide.Rect, plate(7001, false), image.Point{}, draw.Src)
	save(t, filepath.Join(dir, "wide.png"), wide)
	_, err := Add(t.Context(), cfg, folders, TrainOptions{Name: "plate", Good: dir}, nil)
	if err == nil || hint.KindOf(err) != hint.Usage || !strings.Contains(err.Error(), "1 of 2 pictures are of another shape than those that plate@1 has learned: wide.png") {
		t.Errorf("%v", err)
	}
	if versions, err := recipe.Folder(folders.Recipes).Versions(r.Name); err != nil || len(versions) != 1 {
		t.Errorf("versions %v, %v", versions, err)
	}
}

// TestAddKnowsItsParts: of the added pictures a copy of a learned one counts once, another exposure of a learned part is
// named and left out, and what would have been rejected is named and learned.
func TestAddKnowsItsParts(t *testing.T) {
	_, r, cfg, folders := trained(t)
	dir := t.TempDir()
	save(t, filepath.Join(dir, "copy.png"), plate(4, false))
	again := image.NewRGBA(image.Rect(0, 0, 96, 96))
	draw.Draw(again, again.Rect, plate(5, false), image.Point{}, draw.Src)
	for i := range again.Pix {
		if i%4 < 3 { // not the transparency
			again.Pix[i] += uint8(i % 7 / 3)
		}
	}
	save(t, filepath.Join(dir, "again.png"), again)
	for n := range 3 {
		save(t, filepath.Join(dir, fmt.Sprintf("new-%d.png", n)), plate(uint64(950+n), false))
	}
	save(t, filepath.Join(dir, "spot-1.png"), plate(910, true)) // either has the other beside it while it is held out
	save(t, filepath.Join(dir, "spot-2.png"), plate(911, true))
	var notes []string
	made, err := Add(t.Context(), cfg, folders, TrainOptions{Name: "plate", Good: dir, Note: func(text string) { notes = append(notes, text) }}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(notes, "\n")
	for _, want := range []string{"1 of 7 pictures are there already, bit for bit, and count once",
		"1 of 6 pictures show parts that plate@1 has learned and were left out: again.png that of 5.png",
		"plate@1 rejects 2 of them, look at them, for what they show passes from now on: spot-1.png (score", "), spot-2.png (score"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the notes:\n%s", want, text)
		}
	}
	if len(made.Pictures) != len(r.Pictures)+5 || made.History[len(made.History)-1].What != "5 pictures added" {
		t.Errorf("%d pictures, history %+v", len(made.Pictures), made.History)
	}
	for _, o := range made.Bank.Origin[r.Bank.Rows:] {
		if int(o.Picture) < len(r.Pictures) || int(o.Picture) >= len(made.Pictures) {
			t.Fatalf("an added vector comes from picture %d of %d", o.Picture, len(made.Pictures))
		}
	}
	only := t.TempDir()
	save(t, filepath.Join(only, "again.png"), again)
	if _, err := Add(t.Context(), cfg, folders, TrainOptions{Name: "plate", Good: only}, nil); hint.KindOf(err) != hint.Usage || !strings.Contains(err.Error(), "plate@1 has learned every picture in "+only+" already") {
		t.Errorf("nothing new: %v", err)
	}
}

// TestAddKeepsGivenThreshold: pictures can be added where somebody chose threshold and review as scores; both stay,
// with a new promise.
func TestAddKeepsGivenThreshold(t *testing.T) {
	_, r, cfg, folders := trained(t)
	from := r.Threshold.Value
	draft, err := SetThreshold(r, "", Wish{Value: 1.5 * from, ReviewFrom: &from}, recipe.Change{Who: "eva"})
	if err != nil {
		t.Fatal(err)
	}
	shelf := recipe.Folder(folders.Recipes)
	given, err := shelf.Save(draft)
	if err == nil {
		err = shelf.Activate(given.Name, given.Version, recipe.Event{})
	}
	if err != nil {
		t.Fatal(err)
	}
	more := t.TempDir()
	for i := range 4 {
		save(t, filepath.Join(more, fmt.Sprintf("%d.png", i)), plate(uint64(700+i), false))
	}
	grown, err := Add(t.Context(), cfg, folders, TrainOptions{Name: r.Name, Good: more}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, was := grown.Threshold, given.Threshold
	if got.Value != was.Value || got.Target != 0 || got.Review != from || got.Scores != was.Scores+4 {
		t.Errorf("%+v became %+v", was, got)
	}
}

// TestAddAims: pictures are added for other false rejects and another review where these are given, in every zone.
func TestAddAims(t *testing.T) {
	_, r, cfg, folders := trained(t)
	draft, err := AddZone(r, recipe.Zone{Name: "rim", Polygon: [][2]float64{{0, 0}, {1, 0}, {1, 0.5}, {0, 0.5}}}, recipe.Change{})
	if err != nil {
		t.Fatal(err)
	}
	shelf := recipe.Folder(folders.Recipes)
	zoned, err := shelf.Save(draft)
	if err == nil {
		err = shelf.Activate(zoned.Name, zoned.Version, recipe.Event{})
	}
	if err != nil {
		t.Fatal(err)
	}
	more := t.TempDir()
	for i := range 4 {
		save(t, filepath.Join(more, fmt.Sprintf("%d.png", i)), plate(uint64(700+i), false))
	}
	made, err := Add(t.Context(), cfg, folders, TrainOptions{Name: r.Name, Good: more, Target: 700, Review: 900}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string]recipe.Threshold{"rest": made.Threshold, "rim": made.Zones[0].Threshold} {
		if got.Target != 700 || got.ReviewTarget != 900 || !(got.Review > 0) {
			t.Errorf("%s: %+v", what, got)
		}
	}
	if _, err := Add(t.Context(), cfg, folders, TrainOptions{Name: r.Name, Good: more, Review: 1}, nil); hint.KindOf(err) != hint.Usage || !strings.Contains(err.Error(), "a review of 1 in 10,000 is out of range") {
		t.Errorf("a review below the false rejects: %v", err)
	}
}

// TestAddProvesInt8: a bank that has grown passes the gate anew, with small copies of learned pictures where few were added,
// and is fp32 where it does not.
func TestAddProvesInt8(t *testing.T) {
	_, r, cfg, folders := trained(t)
	if r.Method.Precision != patchcore.Int8 || r.Method.Gate != "int8 agrees with fp32: 30 held-out pictures: "+strings.SplitN(r.Method.Gate, ": ", 3)[2] {
		t.Fatalf("%s: %s", r.Method.Precision, r.Method.Gate)
	}
	more := t.TempDir()
	save(t, filepath.Join(more, "one.png"), plate(700, false))
	made, err := Add(t.Context(), cfg, folders, TrainOptions{Name: r.Name, Good: more}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if m := made.Method; m.Precision != patchcore.Int8 || !strings.HasPrefix(m.Gate, "int8 agrees with fp32: 1 held-out pictures and small copies of 30 learned ones: scores within ") {
		t.Errorf("%s: %s", m.Precision, m.Gate)
	}
	var notes []string
	tr := &trainer{options: TrainOptions{Precision: Auto, Note: func(text string) { notes = append(notes, text) }}}
	precision, why, err := tr.gate(heldScores{fp32: []float64{1, 2, 3}, int8: []float64{1, 2, 3.1}, known: 2})
	if err != nil || precision != patchcore.FP32 || !strings.HasPrefix(why, "int8 does not agree with fp32: 1 held-out pictures and small copies of 2 learned ones: scores within 3.3 %") || len(notes) != 1 {
		t.Errorf("%s, %s, %q, %v", precision, why, notes, err)
	}
}
