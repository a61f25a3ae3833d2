package inspect

import (
	"context"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"linectl/internal/inspect/evaluate"
	"linectl/internal/inspect/realset"
	"linectl/internal/part"
)

// TestRealPictures trains on two sets of real pictures and measures on what was held out of them. It
// fails where the default backbone tells good from bad less well than it is known to. On magnetic_tile the
// AUROC of one recipe is a draw: which patches the bank holds hangs on its seed, and eight seeds of an
// independent fp32 PatchCore gave 0.794 to 0.819, mean 0.804, standard deviation 0.009. The bound lies three
// of them below the mean, so that it speaks of the engine and not of a seed. Under the race detector, where all of
// magnetic_tile takes a quarter of an hour, every sixth picture of it stands for all.
func TestRealPictures(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes minutes; leave -short out to run it")
	}
	every := 1 // of so many pictures of magnetic_tile one is taken
	if raceEnabled {
		every = 6
	}
	for _, set := range []struct {
		name  string
		every int
		least float64
	}{{"figure", 1, 0.97}, {"magnetic_tile", every, 0.777}} {
		t.Run(set.name, func(t *testing.T) {
			good := t.TempDir()
			var files []string
			var bad []bool
			for i, p := range realset.Read(t, set.name) {
				if i%set.every != 0 {
					continue
				}
				if !p.Train {
					files = append(files, p.File)
					bad = append(bad, p.Bad)
					continue
				}
				if err := os.Symlink(p.File, filepath.Join(good, filepath.Base(p.File))); err != nil {
					t.Fatal(err)
				}
			}
			measureSet(t, good, files, bad, set.least)
		})
	}
}

// measureSet trains on a folder, scores files, and prints what came out.
func measureSet(t *testing.T, good string, files []string, bad []bool, least float64) {
	folders := Folders{Recipes: t.TempDir(), Backbones: "../../backbones"}
	cfg := DefaultConfig()
	cfg.Recipe = "set"
	begun := time.Now()
	last, since := "", begun
	r, err := Train(t.Context(), cfg, folders, TrainOptions{Name: "set", Good: good}, func(stage string, done, total int) {
		if stage != last {
			if last != "" {
				t.Logf("%s took %s", last, time.Since(since).Round(time.Millisecond))
			}
			last, since = stage, time.Now()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	trained := time.Since(begun)
	inspector, err := Open(cfg, folders, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer inspector.Close()
	var goods, bads []float64
	var rejected, caught, refused int
	begun = time.Now()
	err = readAll(t.Context(), files, func(i int, frame part.Frame, err error) error {
		if err != nil {
			return err
		}
		found, err := inspector.Inspect(context.Background(), frame)
		switch {
		case err != nil:
			return err
		case math.IsNaN(found.Score):
			t.Logf("%s: %s, %s", files[i], found.Reason, found.Detail)
			refused++
		case bad[i]:
			bads = append(bads, found.Score)
		default:
			goods = append(goods, found.Score)
		}
		if found.Reason != part.None {
			if bad[i] {
				caught++
			} else {
				rejected++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	auroc := evaluate.AUROC(goods, bads)
	t.Logf("image AUROC %.3f (at least %.3f); input %s, bank %d of %d patches (%d sampled) of %d pictures, trained in %s",
		auroc, least, r.Input.Size(), r.Method.Bank, r.Training.Patches, r.Training.Sampled, r.Training.Pictures, trained.Round(time.Second))
	t.Logf("threshold %.4g (greatest held-out good score %.4g): %.0f false rejects in 10,000 expected (%.0f to %.0f)",
		r.Threshold.Value, r.Threshold.Greatest, r.Threshold.Expected, r.Threshold.Low, r.Threshold.High)
	t.Logf("rejected %d of %d good and %d of %d bad pictures; the quality gate refused %d; %s a picture",
		rejected, len(goods), caught, len(bads), refused, (time.Since(begun) / time.Duration(len(files))).Round(100*time.Microsecond))
	if !(auroc >= least) {
		t.Errorf("image AUROC %.3f is less than %.3f", auroc, least)
	}
	if refused > 0 {
		t.Errorf("the quality gate refused %d pictures of parts under the same light", refused)
	}
}
