package main

import (
	"fmt"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"linectl/internal/inspect/calibrate"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
)

// shelf puts a recipe that nothing has trained into the folder recipes: 40 held-out pictures with maps of 4x4 cells.
// What threshold and recipe do with it needs no network.
func shelf(ts *testscript.TestScript, _ bool, _ []string) {
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
	ts.Check(err)
	r.Manifest = recipe.Manifest{
		Name:      "plate",
		Backbone:  recipe.Backbone{Name: "net", SHA256: strings.Repeat("ab", 32), Layers: []string{"layer2"}},
		Input:     recipe.Input{Width: 32, Height: 32, Resize: picture.Resize, Std: [3]float32{1, 1, 1}},
		Method:    recipe.Method{Name: recipe.PatchCore, Score: patchcore.Max, Precision: patchcore.FP32, Bank: 1, Dim: 2},
		Threshold: recipe.Threshold{Threshold: threshold},
		Training:  recipe.Training{Pictures: 40},
	}
	_, err = recipe.Folder(ts.MkAbs("recipes")).Save(r)
	ts.Check(err)
}
