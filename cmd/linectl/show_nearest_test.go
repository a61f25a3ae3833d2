package main

import (
	"encoding/json"
	"image/png"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"linectl/internal/config"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
	"linectl/internal/store"
)

// Why was it rejected? Its highest patch stands beside the good one that is most like it.
func TestShowNearest(t *testing.T) {
	path, _ := recordedDesk(t)
	folder := filepath.Dir(path)
	in := func(name string) string { return filepath.Join(folder, name) }
	drawPlates(t, in("train"), "", 24, 1)
	drawPlates(t, in("bad"), in("masks"), 1, 3)
	ask(t, 0, "-c", path, "train", "plate", "--good", in("train"), "--size", "64x64", "--bank", "64")
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := recipe.Folder(cfg.Folders().Recipes).Load("plate", 1)
	if err != nil {
		t.Fatal(err)
	}
	frame, err := picture.Read(in("bad/0.png"))
	if err != nil {
		t.Fatal(err)
	}
	frame.Camera = "top"
	cfg.Store.MinFree = 0
	s, err := store.Open(t.Context(), cfg.Store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, hash := range []string{r.Hash, "another"} {
		id, err := s.Insert(t.Context(), part.Record{Station: "press 4", Verdict: part.Reject, Reason: part.Anomaly,
			Trigger: part.Trigger{PartID: "plate " + hash, SeenAt: time.Now()},
			Finding: &part.Finding{Recipe: part.Recipe{Name: "plate", Version: 1, Hash: hash}, Score: 3, Threshold: 2, Reason: part.Anomaly}})
		if err != nil {
			t.Fatal(err)
		}
		s.KeepPicture(id, frame, part.Reject)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// Another threshold would have turned what this very version has scored; a recipe of the same name and number scored the other part.
	tried, _ := ask(t, 0, "-c", path, "threshold", "plate", "--try", "3.5", "-o", "json")
	var page thresholdPage
	if err := json.Unmarshal([]byte(tried), &page); err != nil || page.Tried == nil || page.Tried.Record == nil || page.Tried.Record.Parts != 1 || !slices.Equal(page.Tried.Record.ToPass, []int64{4}) {
		t.Errorf("%v: %s", err, tried)
	}
	out, _ := ask(t, 0, "-c", path, "show", "4", "--nearest", "near.png", "-o", "json")
	var told nearestPatch
	if err := json.Unmarshal([]byte(out), &told); err != nil || told.ID != 4 || told.Recipe != "plate@1" || told.Distance <= 0 || !strings.HasSuffix(told.Picture, ".png") {
		t.Errorf("%v: %s", err, out)
	}
	file, err := os.Open("near.png")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if drawn, err := png.Decode(file); err != nil || drawn.Bounds().Dx() < 2*drawn.Bounds().Dy() {
		t.Errorf("%v, %v", drawn, err)
	}
	for id, want := range map[string]struct {
		code int
		text string
	}{"5": {4, "is not the one that decided"}, "1": {3, "has no score and kept picture"}, "99": {3, "there is no record"}} {
		if _, errs := ask(t, want.code, "-c", path, "show", id, "--nearest", "x.png"); !strings.Contains(errs, want.text) {
			t.Errorf("%s: %s", id, errs)
		}
	}
}
