package inspect

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"linectl/internal/hint"
	"linectl/internal/inspect/calibrate"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
)

// TestTrainChoices: every method and score gives a recipe that passes good plates and rejects spots.
func TestTrainChoices(t *testing.T) {
	cfg, folders, o := bench(t)
	for _, test := range []struct {
		name   string
		change func(*TrainOptions)
	}{
		{"padim", func(o *TrainOptions) { o.Method = recipe.PaDiM }},
		{"reweighted", func(o *TrainOptions) { o.Score, o.Precision = patchcore.Reweighted, patchcore.FP32 }},
		{"mean-of-3", func(o *TrainOptions) { o.Score, o.TopK, o.Layers = patchcore.MeanTopK, 3, "8,16" }},
		{"widened", func(o *TrainOptions) { o.Widen = []string{picture.Rotate, picture.Light} }},
	} {
		c := o
		c.Name, c.Target, c.Review = test.name, 400, 450
		test.change(&c)
		r, err := Train(t.Context(), cfg, folders, c, nil)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		m := r.Method
		if c.Method != "" && m.Name != c.Method || c.Score != "" && m.Score != c.Score || m.TopK != c.TopK || len(r.Training.Widen) != len(c.Widen) {
			t.Errorf("%s: method %+v", test.name, m)
		}
		if len(r.Golden) != goldenPictures || len(r.Pictures[0].Map.Cells) != 64 || r.Threshold.ReviewTarget != 450 || r.Threshold.Review >= r.Threshold.Value {
			t.Errorf("%s: %d golden pictures, maps of %d, review %g of %g", test.name, len(r.Golden), len(r.Pictures[0].Map.Cells), r.Threshold.Review, r.Threshold.Value)
		}
		i, err := OpenRecipe(cfg, folders, r, quiet)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		rejected := 0
		for seed := range uint64(10) {
			good, err := i.Inspect(t.Context(), frame(t, plate(1000+seed, false)))
			if err != nil {
				t.Fatal(err)
			}
			bad, err := i.Inspect(t.Context(), frame(t, plate(2000+seed, true)))
			if err != nil || bad.Reason != part.Anomaly {
				t.Errorf("%s: a plate with a spot: %+v, %v", test.name, bad, err)
			}
			if good.Reason != part.None {
				rejected++
			}
		}
		if rejected > 3 {
			t.Errorf("%s: %d of 10 good plates are rejected", test.name, rejected)
		}
		i.Close()
	}
}

// TestSuspectsAreNamed: plates with a spot among the good ones are left out, named and drawn; kept, they are
// learned.
func TestSuspectsAreNamed(t *testing.T) {
	cfg, folders, o := bench(t)
	save(t, filepath.Join(o.Good, "spot.png"), plate(5000, true))
	var notes []string
	o.Note = func(text string) { notes = append(notes, text) }
	o.Sheet = filepath.Join(t.TempDir(), "sheet.png")
	r, err := Train(t.Context(), cfg, folders, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Training.LeftOut, []string{"spot.png"}) || r.Training.Pictures != 30 {
		t.Errorf("%v are left out of %d pictures", r.Training.LeftOut, r.Training.Pictures)
	}
	if text := strings.Join(notes, "\n"); !strings.Contains(text, "1 of 31 pictures look unlike the rest, look at them: spot.png; they were left out") {
		t.Errorf("notes:\n%s", text)
	}
	suspectIsFirst(t, o.Sheet)
	spots := TrainOptions{Name: o.Name, Good: t.TempDir()} // that somebody has found good
	save(t, filepath.Join(spots.Good, "spot.png"), plate(5000, true))
	if added, err := Add(t.Context(), cfg, folders, spots, nil); err != nil || len(added.Training.LeftOut) > 0 || added.Training.Pictures != 31 {
		t.Errorf("with the spot added: %+v, %v", added, err)
	}
	o.KeepSuspects = true
	kept, err := Train(t.Context(), cfg, folders, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(kept.Training.LeftOut) > 0 || kept.Training.Pictures != 31 || kept.Threshold.Value <= r.Threshold.Value {
		t.Errorf("kept: %d pictures, threshold %g after %g", kept.Training.Pictures, kept.Threshold.Value, r.Threshold.Value)
	}
}

// suspectIsFirst finds the red frame of a suspect around the first picture of a contact sheet.
func suspectIsFirst(t *testing.T, path string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	sheet, _, err := image.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	if red, green, _, _ := sheet.At(4, 4).RGBA(); red>>8 != 200 || green != 0 {
		t.Errorf("the suspect's frame is not red: %v", sheet.At(4, 4))
	}
}

// TestFolderAsPeopleHaveIt: by way of a link, with folders inside it, and with a mask beside a picture. What could be
// meant otherwise is said; the recipe names the pictures by their places in the folder.
func TestFolderAsPeopleHaveIt(t *testing.T) {
	cfg, folders, o := bench(t)
	for i := range 2 {
		save(t, filepath.Join(o.Good, "Lot 7", fmt.Sprintf("ü %d.png", i)), plate(uint64(100+i), false))
	}
	save(t, filepath.Join(o.Good, "3.jpeg"), plate(103, false))
	var err error
	if folders.Backbones, err = filepath.Abs(folders.Backbones); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.Symlink(o.Good, "link"); err != nil {
		t.Fatal(err)
	}
	o.Good = "link"
	var notes []string
	o.Note = func(text string) { notes = append(notes, text) }
	r, err := Train(t.Context(), cfg, folders, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	files := slices.Clone(r.Training.LeftOut)
	for _, p := range r.Pictures {
		files = append(files, p.File)
	}
	if len(files) != 33 || !slices.Contains(files, "0.png") || !slices.Contains(files, "Lot 7/ü 1.png") {
		t.Errorf("%q", files)
	}
	for _, want := range []string{
		"the 33 pictures lie in 2 folders, and all are taken for good parts: link (31), link/Lot 7 (2)",
		"1 pictures have the name of another one but for its ending, as link/3.jpeg and link/3.png: if these are masks, take them out of the folder",
	} {
		if !slices.Contains(notes, want) {
			t.Errorf("notes %q, none is %q", notes, want)
		}
	}
}

// TestNearlyBlackIsSaid: as pictures of 12 bits in files of 16 are.
func TestNearlyBlackIsSaid(t *testing.T) {
	for brightness, want := range map[float64]string{7.5: "nearly black, half of them below a mean grey level of 7.5", 120: "", 250: "nearly white"} {
		var notes []string
		tr := &trainer{options: TrainOptions{Note: func(text string) { notes = append(notes, text) }}}
		g := new(gathered)
		for i := range calibrate.Enough {
			g.shots = append(g.shots, shot{Picture: recipe.Picture{Group: i, Quality: part.Quality{Brightness: brightness}}, size: picture.Size{Width: 4, Height: 3}})
		}
		tr.look(g)
		if want == "" && len(notes) > 0 || want != "" && (len(notes) != 1 || !strings.Contains(notes[0], want)) {
			t.Errorf("brightness %g: %q", brightness, notes)
		}
	}
}

// TestOthersAreHeldOutWithoutSuspects: bad pictures are not among what the others are held out against in the end.
func TestOthersAreHeldOutWithoutSuspects(t *testing.T) {
	cfg, folders, o := bench(t)
	for name, part := range map[string]image.Image{"both.png": plate(6000, true), "dark.png": plate(6001, false)} {
		spotted := image.NewRGBA(image.Rect(0, 0, 96, 96))
		draw.Draw(spotted, spotted.Rect, part, image.Point{}, draw.Src)
		draw.Draw(spotted, image.Rect(8, 66, 24, 82), image.Black, image.Point{}, draw.Src)
		save(t, filepath.Join(o.Good, name), spotted)
	}
	var stages []string
	r, err := Train(t.Context(), cfg, folders, o, func(stage string, _, _ int) {
		if len(stages) == 0 || stages[len(stages)-1] != stage {
			stages = append(stages, stage)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if left := slices.Sorted(slices.Values(r.Training.LeftOut)); !slices.Equal(left, []string{"both.png", "dark.png"}) || len(r.Pictures) != 30 {
		t.Errorf("%q are left out, %d learned; stages %q", left, len(r.Pictures), stages)
	}
	if !slices.Contains(stages, "hold out 5 of 5 without 2") {
		t.Errorf("stages %q", stages)
	}
}

// counting counts the vectors of the memory banks that pictures are held out of.
type counting struct {
	learner
	rows []int
}

func (c *counting) learn(ctx context.Context, pictures []int, all int, progress func(done, total int)) (model, error) {
	m, err := c.learner.learn(ctx, pictures, all, progress)
	if bank, ok := m.(bankModel); ok {
		c.rows = append(c.rows, bank.bank.Rows)
	}
	return m, err
}

// TestHeldOutBanksAreInProportion: a bank that pictures are held out of holds as many vectors of each learned picture as the
// one of all will. Were it as large as that one, held-out pictures would score better than those to come.
func TestHeldOutBanksAreInProportion(t *testing.T) {
	cfg, folders, o := bench(t)
	o.fill()
	tr, files, err := begin(cfg, folders, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	backbone, err := network.FindBackbone(cfg.Backbone, folders.Backbones)
	if err != nil {
		t.Fatal(err)
	}
	tr.extractor, err = newExtractor(tr.runtime, backbone, backbone.PatchOf, recipe.Input{Width: o.Size.Width, Height: o.Size.Height, Resize: picture.Resize, Mean: backbone.Mean, Std: backbone.Std})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.extractor.close()
	l, err := tr.newLearner(len(files))
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	g, err := tr.gather(t.Context(), files, l, make(map[string]bool))
	if err != nil {
		t.Fatal(err)
	}
	g.shots[3].out, g.shots[17].out = true, true
	c := &counting{learner: l}
	if _, err := tr.holdOut(t.Context(), g, c, heldOut, false); err != nil {
		t.Fatal(err)
	}
	var want []int
	for fold := range folds {
		learned := 0
		for _, s := range g.shots {
			if s.fold != fold && !s.out {
				learned++
			}
		}
		want = append(want, o.Bank*learned/28)
	}
	if !slices.Equal(c.rows, want) {
		t.Errorf("the banks have %d vectors, in proportion they had %d", c.rows, want)
	}
}

// TestPromiseOnPlates: of many good plates that come after eight trainings no more are rejected than these promised, within
// what chance makes of so few pictures.
func TestPromiseOnPlates(t *testing.T) {
	const later = 100
	trainings := 8
	if raceEnabled { // which makes all slower
		trainings = 3
	}
	rejected, promised, spread := 0, 0.0, 0.0
	for n := range uint64(trainings) {
		cfg, folders, o := bench(t)
		for i := range 30 {
			save(t, filepath.Join(o.Good, fmt.Sprintf("%d.png", i)), plate(10_000*(n+1)+uint64(i), false))
		}
		r, err := Train(t.Context(), cfg, folders, o, nil)
		if err != nil {
			t.Fatal(err)
		}
		i, err := OpenRecipe(cfg, folders, r, quiet)
		if err != nil {
			t.Fatal(err)
		}
		before := rejected
		for k := range uint64(later) {
			found, err := i.Inspect(t.Context(), frame(t, plate(10_000*(n+1)+1000+k, false)))
			if err != nil {
				t.Fatal(err)
			}
			if found.Reason != part.None {
				rejected++
			}
		}
		i.Close()
		// The rate behind a threshold from k pictures is a Beta of them, about as wide as it is great.
		rate := r.Threshold.Expected / 10000
		promised += later * rate
		spread += later*rate*(1-rate) + math.Pow(later*rate, 2)
		t.Logf("training %d: about %.1f of %d promised, %d rejected", n+1, later*rate, later, rejected-before)
	}
	if most := promised + 2*math.Sqrt(spread); float64(rejected) > most {
		t.Errorf("%d of %d good plates are rejected; about %.0f were promised, at most %.0f by chance", rejected, trainings*later, promised, most)
	}
}

// TestRefusedBeforeItIsLearned: what the pictures cannot speak for, however they score, is refused before minutes are spent on them.
func TestRefusedBeforeItIsLearned(t *testing.T) {
	cfg, folders, o := bench(t)
	for want, change := range map[string]func(*TrainOptions){
		"50 false rejects in 10,000 cannot be promised from 30 pictures":              func(o *TrainOptions) { o.Target = 50 },
		"a review of 300 in 10,000 must be more than the false rejects, which are to": func(o *TrainOptions) { o.Review = 300 },
	} {
		c := o
		change(&c)
		_, err := Train(t.Context(), cfg, folders, c, func(stage string, done, total int) {
			if stage != "pictures" {
				t.Fatalf("%q goes as far as %s", want, stage)
			}
		})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q: %v", want, err)
		}
	}
}

// TestNoReviewIsTold: a band below the threshold that somebody chose and that the new threshold leaves no room for does not go without a word.
func TestNoReviewIsTold(t *testing.T) {
	_, r, _, _ := trained(t)
	changed := *r
	changed.Threshold.Review, changed.Threshold.ReviewTarget = 1.5*r.Threshold.Value, 0
	var notes []string
	trainer := &trainer{options: TrainOptions{Note: func(text string) { notes = append(notes, text) }}}
	if err := trainer.promise(&changed); err != nil {
		t.Fatal(err)
	}
	if changed.Threshold.Review != 0 || len(notes) != 1 || !strings.Contains(notes[0], "that somebody chose is not below it: there is none") {
		t.Errorf("review from %g, notes %q", changed.Threshold.Review, notes)
	}
}

// TestApartIsNotLearned: a patch unlike those of every other picture is not learned, nor are those around it, nor is a changed copy of its
// picture, unless suspects are to be kept.
func TestApartIsNotLearned(t *testing.T) {
	const pictures, width, height, cells = 10, 4, 3, 4 * 3
	g := new(gathered)
	for i := range pictures {
		s := shot{}
		s.Map = part.Map{Width: width, Height: height, Cells: []float32{1, 1, 1, float32(3 + i), 1, 1, 1, 1, 1, 2, 1, 1}}
		g.shots = append(g.shots, s)
	}
	rows := func(o TrainOptions) (left []patchcore.Origin) {
		l := &patchcoreLearner{t: &trainer{options: o}, each: cells}
		for i := range pictures * l.t.versions() {
			for cell := range cells {
				l.origin = append(l.origin, patchcore.Origin{Picture: int32(i / l.t.versions()), Cell: int32(cell)})
			}
		}
		l.strike(g)
		learned := l.rows([]int{0, pictures - 1})
		for row, o := range l.origin {
			if (o.Picture == 0 || o.Picture == pictures-1) && !slices.Contains(learned, row) {
				left = append(left, o)
			}
		}
		return left
	}
	const last = pictures - 1
	far := []patchcore.Origin{{Picture: last, Cell: 2}, {Picture: last, Cell: 3}, {Picture: last, Cell: 6}, {Picture: last, Cell: 7}}
	if left := rows(TrainOptions{}); !slices.Equal(left, far) {
		t.Errorf("%v are not learned", left)
	}
	if left := rows(TrainOptions{Widen: []string{picture.Rotate}}); len(left) != len(far)+widened*cells || !slices.Equal(left[:len(far)], far) {
		t.Errorf("with changed copies %v are not learned", left)
	}
	if left := rows(TrainOptions{KeepSuspects: true}); left != nil {
		t.Errorf("%v are not learned though all are to be", left)
	}
}

// TestChallengeDecides: a version that passes a known defect is made, is not active, and says so.
func TestChallengeDecides(t *testing.T) {
	cfg, folders, o := bench(t)
	o.Challenge = t.TempDir()
	save(t, filepath.Join(o.Challenge, "spot.png"), plate(1, true))
	r, err := Train(t.Context(), cfg, folders, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	folder := recipe.Folder(folders.Recipes)
	if active, err := folder.Active(o.Name); err != nil || active != r.Version {
		t.Errorf("version %d is active, %v", active, err)
	}
	o.Name = "blind"
	save(t, filepath.Join(o.Challenge, "good.png"), plate(1, false)) // nothing could reject this
	r, err = Train(t.Context(), cfg, folders, o, nil)
	if r == nil || err == nil || !strings.HasPrefix(err.Error(), "blind@1 is made but must not be used: it does not find 1 of 2 known defects: good.png (score ") {
		t.Errorf("%v", err)
	}
	if active, err := folder.Active(o.Name); err == nil {
		t.Errorf("version %d is active", active)
	}
}

// TestPromiseBeyondThePictures is refused with what would do.
func TestPromiseBeyondThePictures(t *testing.T) {
	cfg, folders, o := bench(t)
	o.Target = 20
	_, err := Train(t.Context(), cfg, folders, o, nil)
	var few *calibrate.TooFewError
	if !errors.As(err, &few) || few.Needed() != 499 || !strings.Contains(hint.Of(err), "--false-rejects") {
		t.Errorf("%v (%s)", err, hint.Of(err))
	}
}

// TestReviewBand: with pictures enough the band lies below the threshold, and zones without a target take that
// of the whole.
func TestReviewBand(t *testing.T) {
	r := &recipe.Recipe{Manifest: recipe.Manifest{Name: "x", Method: recipe.Method{Name: recipe.PatchCore, Score: patchcore.Max, Precision: patchcore.FP32},
		Zones: []recipe.Zone{{Name: "left", Polygon: [][2]float64{{0, 0}, {0.5, 0}, {0.5, 1}, {0, 1}}}}}}
	for i := range 300 {
		m := part.Map{Width: 2, Height: 1, Cells: []float32{1 + float32(i%150)/1000, 2 + float32(i)/300}}
		r.Pictures = append(r.Pictures, recipe.Picture{Score: float64(m.Cells[1]), Group: i, Map: m})
	}
	r.Threshold.Target, r.Threshold.ReviewTarget = 100, 400
	if err := recalibrate(r); err != nil {
		t.Fatal(err)
	}
	left := r.Zones[0].Threshold
	if w := r.Threshold; !(w.Review > 2.9 && w.Review < w.Value && w.Value < 3.2) {
		t.Errorf("whole: %+v", w)
	}
	if left.Target != 100 || !(left.Review > 1.1 && left.Review < left.Value && left.Value < 1.3) {
		t.Errorf("zone: %+v", left)
	}
}
