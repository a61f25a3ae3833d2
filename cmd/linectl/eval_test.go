package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"linectl/internal/inspect/evaluate/exam"
)

// drawPlates writes pictures of brushed plates; bad ones have a dark square, and a mask of it in masks.
func drawPlates(t *testing.T, folder, masks string, count int, seed uint64) {
	t.Helper()
	save := func(folder string, i int, img image.Image) {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := writePNG(filepath.Join(folder, fmt.Sprintf("%d.png", i)), img); err != nil {
			t.Fatal(err)
		}
	}
	for i := range count {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		plate, mask := image.NewGray(image.Rect(0, 0, 96, 96)), image.NewGray(image.Rect(0, 0, 48, 48))
		spot := image.Rect(30, 40, 50, 60).Add(image.Pt(r.IntN(20), r.IntN(20)))
		for y := range 96 {
			line := r.NormFloat64() * 6
			for x := range 96 {
				v := 130 + line + r.NormFloat64()*2
				if masks != "" && image.Pt(x, y).In(spot) {
					v -= 80
					mask.SetGray(x/2, y/2, color.Gray{255})
				}
				plate.SetGray(x, y, color.Gray{uint8(v)})
			}
		}
		save(folder, i, plate)
		if masks != "" {
			save(masks, i, mask)
		}
	}
}

// TestEval trains on good plates, evaluates on others, and reads what came of it.
func TestEval(t *testing.T) {
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	drawPlates(t, in("train"), "", 24, 1)
	drawPlates(t, in("good"), "", 8, 2)
	drawPlates(t, in("bad"), in("masks"), 6, 3)
	linectl := func(code int, args ...string) (string, string) {
		t.Helper()
		var out, errs bytes.Buffer
		if got := run(t.Context(), args, nil, &out, &errs); got != code {
			t.Fatalf("%v ends with %d, want %d:\n%s%s", args, got, code, &out, &errs)
		}
		return out.String(), errs.String()
	}
	linectl(0, "train", "plate", "--good", in("train"), "--size", "64x64", "--bank", "64", "--recipes", in("recipes"))
	eval := func(code int, args ...string) (exam.Report, string) {
		t.Helper()
		out, errs := linectl(code, append([]string{"eval", "plate", "--recipes", in("recipes"), "-o", "json"}, args...)...)
		var rep exam.Report
		if out != "" {
			if err := json.Unmarshal([]byte(out), &rep); err != nil {
				t.Fatal(err)
			}
		}
		return rep, errs
	}
	all := []string{"--good", in("good"), "--bad", in("bad"), "--masks", in("masks")}
	rep, _ := eval(0, append(all, "--html", in("page.html"), "--training", in("train"))...)
	if rep.ImageAUROC == nil || *rep.ImageAUROC != 1 || rep.Escapes.Count != 0 || rep.Good != 8 || rep.Bad != 6 || len(rep.Pictures) != 14 {
		t.Errorf("%+v", rep)
	}
	if rep.PixelAUROC == nil || *rep.PixelAUROC < 0.8 || *rep.PRO < 0.5 || rep.Masks != 6 || rep.Regions != 6 {
		t.Errorf("pixels: %v, %v, %d masks, %d regions", *rep.PixelAUROC, *rep.PRO, rep.Masks, rep.Regions)
	}
	page, err := os.ReadFile(in("page.html"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(page, []byte("data:image/jpeg;base64,")); n != 3*12 {
		t.Errorf("%d pictures on the page, want three of each of 6 good and 6 bad parts", n)
	}
	if m := regexp.MustCompile(`(?i)(src|href)="(https?:|//|[a-z]+\.)|<script|ZgotmplZ`).Find(page); m != nil {
		t.Errorf("the page needs %s from elsewhere", m)
	}

	// Without bad pictures there is no AUROC, and JSON says null.
	if rep, _ := eval(0, "--good", in("good")); rep.ImageAUROC != nil || rep.Escapes.Value != nil || rep.FalseRejects.Of != 8 {
		t.Errorf("good ones only: %+v", rep)
	}

	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}

	// Masks that lie beside their pictures are none themselves, and are named where nobody says that they are masks.
	must(os.Mkdir(in("beside"), 0o755))
	for i := range 6 {
		must(os.Link(in(fmt.Sprintf("bad/%d.png", i)), in(fmt.Sprintf("beside/%d.jpg", i))))
		must(os.Link(in(fmt.Sprintf("masks/%d.png", i)), in(fmt.Sprintf("beside/%d.png", i))))
	}
	must(os.Symlink(in("beside"), in("link")))
	if rep, _ := eval(0, "--good", in("good"), "--bad", in("beside"), "--masks", in("link")); rep.Bad != 6 || rep.Masks != 6 || len(rep.Notes) != 1 ||
		rep.Notes[0] != "6 of the 12 files of bad parts are masks of others and were not judged" {
		t.Errorf("masks beside their pictures: %d bad, %d masks, %q", rep.Bad, rep.Masks, rep.Notes)
	}
	if rep, _ := eval(0, "--good", in("good"), "--bad", in("beside")); rep.Bad != 12 || !strings.HasPrefix(strings.Join(rep.Notes, ""), "6 pictures have the name of another one but for its ending, as ") {
		t.Errorf("masks that nobody has named: %d bad, %q", rep.Bad, rep.Notes)
	}

	// Folders inside that of the bad parts are kinds of defects. A good plate among them escapes.
	must(os.MkdirAll(in("kinds/dent"), 0o755))
	must(os.Mkdir(in("kinds/none"), 0o755))
	must(os.Link(in("bad/0.png"), in("kinds/dent/0.png")))
	must(os.Link(in("bad/1.png"), in("kinds/dent/1.png")))
	must(os.Link(in("train/0.png"), in("kinds/none/0.png")))
	if rep, _ := eval(0, "--good", in("good"), "--bad", in("kinds"), "--html", in("kinds.html")); len(rep.Kinds) != 2 || rep.Kinds[0].Name != "dent" || rep.Kinds[0].Escapes.Count != 0 ||
		rep.Kinds[0].Escapes.Of != 2 || rep.Kinds[1].Escapes.Count != 1 || rep.Kinds[1].Escapes.Of != 1 {
		t.Errorf("kinds %+v", rep.Kinds)
	}

	// A mask that is missing, one that is empty, and a picture that is cut off are named.
	must(os.Remove(in("masks/0.png")))
	must(writePNG(in("masks/1.png"), image.NewGray(image.Rect(0, 0, 48, 48))))
	whole, err := os.ReadFile(in("good/7.png"))
	must(err)
	must(os.WriteFile(in("good/7.png"), whole[:len(whole)/2], 0o644))
	rep, errs := eval(1, all...)
	notes := strings.Join(rep.Notes, "\n")
	for _, want := range []string{"0.png has no mask", "1.png shows no defect", "7.png: is cut off"} {
		if !strings.Contains(notes, want) {
			t.Errorf("no %q in the notes:\n%s", want, notes)
		}
	}
	if rep.Masks != 4 || rep.Good != 7 || rep.Unread != 1 || !strings.Contains(errs, "1 of 14 pictures could not be read") {
		t.Errorf("%d masks, %d good, %d unreadable: %s", rep.Masks, rep.Good, rep.Unread, errs)
	}
	must(writePNG(in("masks/1.png"), image.NewGray(image.Rect(0, 0, 96, 48))))
	if _, errs := eval(2, all...); !strings.Contains(errs, "1.png is 96x48, of another shape than its picture, which is 96x96") {
		t.Errorf("a mask of another shape: %s", errs)
	}
	if _, errs := eval(2, "--good", in("good"), "--masks", in("masks")); !strings.Contains(errs, "--masks without --bad") {
		t.Error(errs)
	}
	eval(2, "--good", in("good"), "--bad", in("bad"), "--masks", in("nothing"))
	if _, errs := eval(2, "--good", in("good"), "--html", in("nothing/page.html")); !strings.Contains(errs, "--html: folder "+in("nothing")+": no such file or directory") {
		t.Error(errs)
	}

	// PaDiM has a map of its own kind and no single good patches.
	linectl(0, "train", "still", "--method", "padim", "--good", in("train"), "--size", "64x64", "--recipes", in("recipes"))
	must(os.Remove(in("masks/1.png")))
	linectl(1, append([]string{"eval", "still", "--recipes", in("recipes"), "--html", in("padim.html")}, all...)...)
	if page, err = os.ReadFile(in("padim.html")); err != nil || !bytes.Contains(page, []byte("does not know single good patches")) {
		t.Errorf("page of PaDiM: %v", err)
	}
}

// TestFeatures: a PNG for each map at the picture's own size, and one sheet.
func TestFeatures(t *testing.T) {
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	drawPlates(t, in("plates"), in("masks"), 1, 5)
	var errs bytes.Buffer
	features := func(args ...string) int {
		errs.Reset()
		return run(t.Context(), append([]string{"features", in("plates/0.png"), "--size", "64x64"}, args...), nil, &bytes.Buffer{}, &errs)
	}
	if code := features("--layers", "8,layer3", "--channels", "3,17", "--out", in("a"), "--sheet", in("a.png")); code != 0 {
		t.Fatalf("code %d: %s", code, &errs)
	}
	files, err := filepath.Glob(in("a/*.png"))
	if err != nil || len(files) != 8 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, path := range append(files, in("a.png")) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		c, err := png.DecodeConfig(bytes.NewReader(data))
		if err != nil || path != in("a.png") && (c.Width != 96 || c.Height != 96) {
			t.Errorf("%s: %dx%d, %v", path, c.Width, c.Height, err)
		}
	}
	for _, args := range [][]string{{"--channels", "128", "--layers", "layer2"}, {"--channels", "x"}, {"--layers", "layer9"}, {"--size", "1"}} {
		if code := features(append(args, "--out", in("b"))...); code != 2 || !strings.Contains(errs.String(), args[0]) {
			t.Errorf("%v: code %d, %s", args, code, &errs)
		}
	}
}
