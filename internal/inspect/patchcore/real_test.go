package patchcore

import (
	"encoding/csv"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"linectl/internal/inspect/evaluate"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/picture"
)

// TestInt8OnRealPictures: an int8 bank tells good magnetic tiles from bad ones as well as the same bank in
// fp32 does, and passes the gate on good pictures that it has not seen. LINECTL_BACKBONE names another
// network than the default.
func TestInt8OnRealPictures(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute; leave -short out to run it")
	}
	set := readSet(t, "magnetic_tile")
	r, err := network.Start("", network.CPU, 0)
	if err != nil {
		t.Fatal(err)
	}
	backbone, err := network.FindBackbone(os.Getenv("LINECTL_BACKBONE"), "../../../backbones")
	if err != nil {
		t.Fatal(err)
	}
	n, err := r.Open(backbone, backbone.PatchOf, 256, 256)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	e, err := NewEmbedder(r, n.Features, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	prepare := picture.NewPreparer(picture.Size{Width: 256, Height: 256}, backbone.Mean, backbone.Std)
	defer prepare.Close()
	see := func(path string) {
		frame, err := picture.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := prepare.Fill(n.Input.Data(), frame); err != nil {
			t.Fatal(err)
		}
		if err := n.Run(); err != nil {
			t.Fatal(err)
		}
	}

	const pictures = 200
	var patches, projected []float32
	for i := range pictures {
		see(set.train[i*len(set.train)/pictures])
		if err := e.Run(); err != nil {
			t.Fatal(err)
		}
		patches = append(patches, e.Patches.Data()...)
		projected = append(projected, e.Projected.Data()...)
	}
	rows := make([]int, pictures*e.Grid)
	for i := range rows {
		rows[i] = i
	}
	begun := time.Now()
	chosen, err := Coreset(t.Context(), projected, ProjectedDim, rows, 4096, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d patches chosen in %s", len(chosen), len(rows), time.Since(begun).Round(time.Millisecond))
	bank := Bank{Rows: len(chosen), Dim: e.Dim}
	for _, row := range chosen {
		bank.Vectors = append(bank.Vectors, patches[row*e.Dim:(row+1)*e.Dim]...)
	}

	var scorers []*Scorer
	for _, precision := range []string{FP32, Int8} {
		s, err := NewScorer(r, n.Features, bank, Options{Score: Max, Precision: precision})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		scorers = append(scorers, s)
	}
	var good, bad [2][]float64
	var took [2]time.Duration
	var meanError, mostError float64
	cells := 0
	for i, path := range set.test {
		see(path)
		var maps [2][]float32
		for j, s := range scorers {
			begun := time.Now()
			score, m, err := s.Score()
			if err != nil {
				t.Fatal(err)
			}
			took[j] += time.Since(begun)
			maps[j] = m.Cells
			if set.bad[i] {
				bad[j] = append(bad[j], score)
			} else {
				good[j] = append(good[j], score)
			}
		}
		for c, want := range maps[0] {
			e := math.Abs(float64(maps[1][c]-want)) / float64(want)
			meanError += e
			mostError = max(mostError, e)
			cells++
		}
	}
	fp32, int8 := evaluate.AUROC(good[0], bad[0]), evaluate.AUROC(good[1], bad[1])
	agreement := Agree(good[0], good[1])
	t.Logf("%s: AUROC %.4f in fp32, %.4f in int8; %s", backbone.Name, fp32, int8, agreement)
	t.Logf("distances of patches off by %.2g %% in the mean, %.2g %% at most; bad pictures: %s", 100*meanError/float64(cells), 100*mostError, Agree(bad[0], bad[1]))
	t.Logf("a picture in %s and %s", took[0]/time.Duration(len(set.test)), took[1]/time.Duration(len(set.test)))
	if !(math.Abs(fp32-int8) <= 0.002) {
		t.Errorf("AUROC %.4f in int8, %.4f in fp32", int8, fp32)
	}
	if !agreement.OK {
		t.Errorf("the gate is not passed: %s", agreement)
	}
}

type pictureSet struct {
	train, test []string
	bad         []bool // of test
}

// readSet reads the list of a set of real pictures; it skips the test where there is none.
func readSet(t *testing.T, name string) (s pictureSet) {
	data := os.Getenv("LINECTL_DATA")
	if data == "" {
		data = "../../../../shared/data"
	}
	list, err := os.Open(filepath.Join(data, name+".csv"))
	if err != nil {
		t.Skipf("the pictures are not here (%v); LINECTL_DATA names their folder", err)
	}
	defer list.Close()
	rows, err := csv.NewReader(list).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		path := filepath.Join(data, row[2])
		if row[0] == "train" {
			s.train = append(s.train, path)
			continue
		}
		s.test = append(s.test, path)
		s.bad = append(s.bad, row[1] != "good")
	}
	return s
}
