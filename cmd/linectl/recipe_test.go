package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"linectl/internal/hint"
	"linectl/internal/inspect/calibrate"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
)

// shelf is a folder with one recipe that nothing has trained: 40 held-out pictures with maps of 4x4 cells.
func shelf(t *testing.T) string {
	t.Helper()
	r := &recipe.Recipe{Bank: patchcore.Bank{Rows: 1, Dim: 2, Vectors: []float32{1, 2}}}
	var scores []float64
	for i := range 40 {
		m := part.Map{Width: 4, Height: 4, Cells: make([]float32, 16)}
		for c := range m.Cells {
			m.Cells[c] = 1 + float32((i*7+c*5)%40)/40
		}
		m.Cells[0] = 3 + float32(i)/100 // the upper left is unlike the rest
		score := float64(m.Cells[0])
		scores = append(scores, score)
		r.Pictures = append(r.Pictures, recipe.Picture{File: fmt.Sprintf("%d.png", i), SHA256: "00", Score: score, Group: i, Map: m})
	}
	threshold, err := calibrate.Set(scores, nil, 250)
	if err != nil {
		t.Fatal(err)
	}
	r.Manifest = recipe.Manifest{
		Name:      "plate",
		Backbone:  recipe.Backbone{Name: "net", SHA256: strings.Repeat("ab", 32), Layers: []string{"layer2"}},
		Input:     recipe.Input{Width: 32, Height: 32, Resize: picture.Resize, Std: [3]float32{1, 1, 1}},
		Method:    recipe.Method{Name: recipe.PatchCore, Score: patchcore.Max, Precision: patchcore.FP32, Bank: 1, Dim: 2},
		Threshold: recipe.Threshold{Threshold: threshold},
		Training:  recipe.Training{Pictures: 40},
	}
	folder := filepath.Join(t.TempDir(), "recipes")
	if _, err := recipe.Folder(folder).Save(r); err != nil {
		t.Fatal(err)
	}
	return folder
}

// TestRecipesAtTheCommandLine walks a recipe through its life without a picture: no network is needed for it.
func TestRecipesAtTheCommandLine(t *testing.T) {
	folder, other := shelf(t), filepath.Join(t.TempDir(), "other")
	dir := t.TempDir()
	file, chart := filepath.Join(dir, "plate.tar.gz"), filepath.Join(dir, "scores.png")
	linectl := func(code hint.Kind, want string, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		args = append(args, "--recipes", folder)
		if got := hint.Kind(run(t.Context(), args, strings.NewReader(""), &out, &errs)); got != code || !strings.Contains(out.String()+errs.String(), want) {
			t.Fatalf("linectl %s: code %d, want %d with %q\n%s%s", strings.Join(args, " "), got, code, want, &out, &errs)
		}
		return out.String()
	}

	linectl(0, "held-out scores of 40 good pictures", "threshold", "plate", "--plot", chart)
	if info, err := os.Stat(chart); err != nil || info.Size() == 0 {
		t.Errorf("no chart: %v", err)
	}
	var page struct {
		Threshold, Tried promised
		Made             int `json:"made_version"`
	}
	text := linectl(0, "held_out_rejected", "-o", "json", "threshold", "plate", "--try", "3.195")
	var tried struct {
		Tried struct {
			Rejected int `json:"held_out_rejected"`
		} `json:"tried"`
	}
	if err := json.Unmarshal([]byte(text), &tried); err != nil || tried.Tried.Rejected != 20 { // 3.20 to 3.39
		t.Errorf("%d rejected, %v", tried.Tried.Rejected, err)
	}
	linectl(hint.Usage, "cannot be promised", "threshold", "plate", "--try-false-rejects", "5")
	linectl(hint.Usage, "needs --why", "threshold", "plate", "--set", "4")
	linectl(hint.Usage, "one or the other", "threshold", "plate", "--set", "4", "--try", "3")
	linectl(hint.Usage, "must be a positive number", "threshold", "plate", "--try", "NaN")
	linectl(hint.Usage, "has no threshold for the zone", "threshold", "plate", "--zone", "rim")

	text = linectl(0, "made_version", "-o", "json", "threshold", "plate", "--set", "3.5", "--review-from", "3.3", "--why", "too many false rejects", "--who", "eva", "--activate")
	if err := json.Unmarshal([]byte(text), &page); err != nil || page.Made != 2 || page.Tried.Value != 3.5 || page.Tried.Review != 3.3 {
		t.Errorf("%+v, %v", page, err)
	}
	linectl(0, "by eva: too many false rejects", "recipe", "show", "plate")
	linectl(0, "plate@1 is active", "recipe", "rollback", "plate")
	linectl(hint.NoMatch, "no version that was active before 1", "recipe", "rollback", "plate")

	linectl(0, "plate@3 is made", "recipe", "zone", "add", "plate", "corner", "--polygon", "0,0 0.25,0 0.25,0.25 0,0.25", "--why", "engraving")
	linectl(0, "corner", "recipe", "zone", "list", "plate@3")
	linectl(0, "zone", "threshold", "plate@3", "--zone", "corner")
	linectl(hint.Usage, "lies outside the picture", "recipe", "zone", "add", "plate", "z", "--polygon", "0,0 2,0 0,1")
	linectl(hint.Usage, "is not a corner", "recipe", "zone", "add", "plate", "z", "--polygon", "0;0 1,0 0,1")
	linectl(0, "plate@4 is made", "recipe", "zone", "remove", "plate@3", "corner")

	linectl(hint.Usage, "is the active version", "recipe", "remove", "plate@1")
	linectl(hint.Usage, "remove needs a version", "recipe", "remove", "plate")
	linectl(0, "plate@4 is removed", "recipe", "remove", "plate@4")
	linectl(hint.Usage, "--force needs --why", "recipe", "activate", "plate", "2", "--force")

	linectl(0, "plate@3, hash", "recipe", "export", "plate@3", file)
	folder = other
	linectl(0, "plate@3, hash", "recipe", "import", file)
	linectl(0, "tray@1, hash", "recipe", "import", file, "--as", "tray")
	linectl(0, "ok", "recipe", "verify")
	linectl(hint.Usage, "has no active version", "recipe", "show", "plate")
	linectl(hint.Usage, "no such file", "recipe", "import", file+".gone")
	linectl(hint.Damage, "archive", "recipe", "import", chart)
}
