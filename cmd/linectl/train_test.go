package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"linectl/internal/inspect/recipe"
)

// TestTrainWithinNothing: a budget that nothing keeps is refused with what came nearest and all that was measured.
func TestTrainWithinNothing(t *testing.T) {
	folder := t.TempDir()
	good, recipes := filepath.Join(folder, "good"), filepath.Join(folder, "recipes")
	drawPlates(t, good, "", 1, 1)
	out, errs := ask(t, 1, "train", "plate", "--good", good, "--recipes", recipes, "--budget", "1ns", "-o", "json")
	var page struct {
		Budget recipe.Budget `json:"budget"`
	}
	if err := json.Unmarshal([]byte(out), &page); err != nil {
		t.Fatal(err)
	}
	if b := page.Budget; b.Limit != "1ns" || b.Device != "cpu" || len(b.Trials) < 5 {
		t.Errorf("%+v", b)
	}
	nearest := page.Budget.Trials[0]
	for _, tried := range page.Budget.Trials {
		if tried.Fits || !(tried.P50 > 0) || tried.Why != "p50 exceeds the budget" {
			t.Errorf("%+v", tried)
		}
		if tried.P50 < nearest.P50 {
			nearest = tried
		}
	}
	if !strings.Contains(errs, "nothing keeps within 1ns on cpu: the fastest was "+nearest.Backbone+" at "+nearest.Input+" with ") || !strings.Contains(errs, "linectl: hint: ") {
		t.Errorf("it says %s", errs)
	}
	if found, _ := filepath.Glob(filepath.Join(recipes, "*", "1")); len(found) > 0 {
		t.Errorf("%q was made", found)
	}
	ask(t, 2, "train", "plate", "--good", good, "--recipes", recipes, "--budget", "0s")
}
