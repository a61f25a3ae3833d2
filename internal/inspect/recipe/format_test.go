package recipe

import (
	"reflect"
	"strings"
	"testing"

	"linectl/internal/inspect/padim"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/part"
)

// TestFormat1 opens a folder that the first format's linectl has written.
func TestFormat1(t *testing.T) {
	r, err := Folder("testdata/format1").Load("x", 0)
	if err != nil {
		t.Fatal(err)
	}
	want := draft("x")
	want.Pictures[1].Group = 1 // each picture counts for itself
	want.Threshold.Rule = "exponential-tail/1"
	if r.Format != 1 || r.Threshold != want.Threshold || r.Method != want.Method || !reflect.DeepEqual(r.Bank, want.Bank) || !reflect.DeepEqual(r.Pictures, want.Pictures) {
		t.Errorf("read %+v", r)
	}
}

// TestFormat2 opens a folder that the second format's linectl has written.
func TestFormat2(t *testing.T) {
	r, err := Folder("testdata/format2").Load("x", 0)
	if err != nil {
		t.Fatal(err)
	}
	want := full("x")
	want.Manifest.Backbone.Precision, want.Manifest.Backbone.Gate, want.Network = "", "", nil
	want.Method, want.Means = withoutAppearance(want.Method), patchcore.Means{}
	want.Pictures[1].Appearance = 0
	want.Training.Frame, want.Training.LeftOutSHA256 = picture.Size{}, nil
	want.Format, want.Version, want.Created, want.Hash, want.Path = 2, 1, r.Created, r.Hash, r.Path
	if !reflect.DeepEqual(r, want) {
		t.Errorf("read\n%+v\nwant\n%+v", r, want)
	}
}

// TestFormat3 opens a folder that the third format's linectl has written.
func TestFormat3(t *testing.T) {
	r, err := Folder("testdata/format3").Load("x", 0)
	if err != nil {
		t.Fatal(err)
	}
	want := full("x")
	want.Method, want.Means = withoutAppearance(want.Method), patchcore.Means{}
	want.Pictures[1].Appearance = 0
	want.Format, want.Version, want.Created, want.Hash, want.Path = 3, 1, r.Created, r.Hash, r.Path
	if !reflect.DeepEqual(r, want) {
		t.Errorf("read\n%+v\nwant\n%+v", r, want)
	}
}

// TestFormat4 opens a folder that the fourth format's linectl has written.
func TestFormat4(t *testing.T) {
	r, err := Folder("testdata/format4").Load("x", 0)
	if err != nil {
		t.Fatal(err)
	}
	want := full("x")
	want.Method.AppearanceShrinkage = 0
	want.Format, want.Version, want.Created, want.Hash, want.Path = 4, 1, r.Created, r.Hash, r.Path
	if !reflect.DeepEqual(r, want) {
		t.Errorf("read\n%+v\nwant\n%+v", r, want)
	}
}

// full is a version that uses everything format 5 has.
func full(name string) *Recipe {
	r := draft(name)
	r.Manifest.Backbone.Precision, r.Manifest.Backbone.Gate, r.Network = patchcore.Int8, "it agrees", []byte("8 bits")
	r.Threshold.Review, r.Threshold.ReviewTarget = 0.25, 200
	r.Zones = []Zone{
		{Name: "rim", Polygon: [][2]float64{{0, 0}, {1, 0}, {0.5, 0.125}}, Threshold: r.Threshold},
		{Name: "label", Polygon: [][2]float64{{0, 0.5}, {0.25, 0.5}, {0.1, 1}}, Ignore: true},
	}
	r.History = []Change{{What: "trained from 2 pictures", Who: "eva", Why: "new lens"}}
	r.Training.Frame = picture.Size{Width: 640, Height: 480}
	r.Training.Groups, r.Training.LeftOut, r.Training.Widen = 2, []string{"odd.png"}, []string{"light"}
	r.Training.LeftOutSHA256 = []string{strings.Repeat("cd", 32)}
	r.Method.Gate = "int8 was not tried"
	r.Method.Score, r.Method.Appearance, r.Method.AppearanceFrom, r.Method.AppearanceShrinkage = patchcore.MaxAppearance, 0.375, 2.5, 0.25
	r.Pictures[1].Appearance = 0.125
	r.Means = patchcore.Means{Rows: 2, Dim: r.Method.Dim, Vectors: make([]float32, 2*r.Method.Dim)}
	r.Means.Vectors[1] = 0.5
	r.Bank.Origin = []patchcore.Origin{{Picture: 0, Cell: 3}, {Picture: 1, Cell: 1}}
	r.Pictures[0].Group, r.Pictures[1].Suspect = 1, true
	for i := range r.Pictures {
		r.Pictures[i].Map = part.Map{Width: 2, Height: 1, Cells: []float32{float32(i), 0.25}}
	}
	r.Golden = []Golden{{File: "a, with comma.png", Picture: []byte("png one"), Score: 1.0 / 3}, {File: "b", Picture: []byte("png two"), Score: 2}}
	return r
}

// withoutAppearance is a method as formats before the fourth knew it.
func withoutAppearance(m Method) Method {
	m.Score, m.Appearance, m.AppearanceFrom, m.AppearanceShrinkage = patchcore.Max, 0, 0, 0
	return m
}

func TestRoundTripOfAllThereIs(t *testing.T) {
	gauss := full("p")
	gauss.Bank, gauss.Means = patchcore.Bank{}, patchcore.Means{}
	gauss.Method = Method{Name: PaDiM, Score: MaxSmoothed, Precision: patchcore.FP32, Dim: 2, Seed: 1}
	gauss.Gauss = &padim.Model{Width: 2, Height: 1, Dims: []int32{3, 7}, Mean: []float32{1, 2, 3, 4}, Whiten: []float32{1, 2, 3, 4, 5, 6}}
	for _, want := range []*Recipe{full("x"), gauss} {
		want.Training.Budget = &Budget{Limit: "50ms", Device: "cpu", Trials: []Trial{
			{Backbone: "large", Input: "384x384", Bank: 16384, Precision: patchcore.Int8, Measured: 10, P50: 61.5, P99: 70.25, Why: "p50 exceeds the budget"},
			{Backbone: "net", Input: "32x32", Bank: 2, Precision: patchcore.Int8, Score: patchcore.Reweighted, Network: patchcore.FP32, Measured: 200, P50: 1.5, P99: 2, Fits: true, Why: "p99 is within the budget"},
		}}
		want.History[0].What = "two\nlines.png were \x1b[31m"
		f := Folder(t.TempDir())
		got, err := f.Save(want)
		if err != nil {
			t.Fatal(err)
		}
		want.Format, want.Version, want.Created, want.Hash, want.Path = Format, 1, got.Created, got.Hash, got.Path
		if !reflect.DeepEqual(got, want) {
			t.Errorf("saved\n%+v\nand read\n%+v", want, got)
		}
	}
}
