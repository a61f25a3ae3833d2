package parts

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func render(t testing.TB, product Product, seed uint64, defect Defect) Picture {
	t.Helper()
	p, err := Render(product, seed, defect)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Pictures that change from one version to the next make every figure measured on them worthless.
func TestPicturesAreTheSameEverywhere(t *testing.T) {
	for _, c := range []struct {
		product Product
		seed    uint64
		defect  Defect
		digest  string
	}{
		{Flange, 1, Sound, "3ed27bdbdb79dd39"},
		{Flange, 2, Burr, "1bb11b1fee572cb8"},
		{Cap, 1, Sound, "ef213bfdbac9ccbb"},
		{Cap, 2, Crack, "8522ff22abc7953a"},
		{Weave, 1, Sound, "bcb868a8dcc1a237"},
		{Weave, 2, BrokenYarn, "dc8d2de9b4eb02db"},
	} {
		p := render(t, c.product, c.seed, c.defect)
		sum := sha256.Sum256(append(slices.Clone(p.Pixels), p.Mask...))
		if got := hex.EncodeToString(sum[:8]); got != c.digest {
			t.Errorf("%v %d %v: digest %s, was %s", c.product, c.seed, c.defect, got, c.digest)
		}
	}
}

func TestEachSeedIsAPartOfItsOwn(t *testing.T) {
	a, b := render(t, Flange, 1, Sound), render(t, Flange, 2, Sound)
	if slices.Equal(a.Pixels, b.Pixels) {
		t.Error("seeds 1 and 2 give the same picture")
	}
	if slices.Contains(a.Mask, 255) {
		t.Error("a sound part has a mask")
	}
}

// The mask is the truth that evaluation is measured against: what it marks must differ from the
// sound part, and nothing else may.
func TestMaskIsWhatTheDefectChanged(t *testing.T) {
	const low, high = 30, 0.03 * Width * Height // pixels: not invisible, not trivial
	for _, product := range Products() {
		t.Run(product.String(), func(t *testing.T) {
			t.Parallel()
			for _, seed := range []uint64{11, 12, 13} {
				sound := render(t, product, seed, Sound)
				for _, defect := range product.Defects() {
					p := render(t, product, seed, defect)
					if p.Pose != sound.Pose {
						t.Fatalf("%v %d: the defect moved the part", defect, seed)
					}
					marked, change := 0, 0
					for i, m := range p.Mask {
						most := 0
						for c := range 3 {
							most = max(most, abs(int(p.Pixels[3*i+c])-int(sound.Pixels[3*i+c])))
						}
						if m == 0 && most > visible+1 {
							t.Fatalf("%v %d: pixel %d,%d differs by %d and is not in the mask", defect, seed, i%Width, i/Width, most)
						}
						if m != 0 {
							marked++
							change += most
						}
					}
					if marked < low || marked > high {
						t.Errorf("%v %d: the mask has %d pixels, want %d to %.0f", defect, seed, marked, low, high)
					}
					if mean := float64(change) / float64(marked); mean < 2*visible {
						t.Errorf("%v %d: within the mask the picture differs by %.1f grey levels only", defect, seed, mean)
					}
				}
			}
		})
	}
}

func abs(n int) int { return max(n, -n) }

func TestPosesStayWithinTheLimitsAndUseThem(t *testing.T) {
	var most Pose
	for seed := range uint64(500) {
		p := drawPose(stream(Cap, seed, poseStream))
		most.ShiftX = max(most.ShiftX, math.Abs(p.ShiftX))
		most.ShiftY = max(most.ShiftY, math.Abs(p.ShiftY))
		most.Turn = max(most.Turn, math.Abs(p.Turn))
		most.Gain = max(most.Gain, math.Abs(p.Gain-1))
		most.GradientX = max(most.GradientX, math.Abs(p.GradientX))
		most.GradientY = max(most.GradientY, math.Abs(p.GradientY))
	}
	for _, c := range []struct {
		name        string
		most, limit float64
	}{
		{"shift in x", most.ShiftX, MaxShift}, {"shift in y", most.ShiftY, MaxShift}, {"turn", most.Turn, MaxTurn},
		{"gain", most.Gain, MaxGain}, {"gradient in x", most.GradientX, MaxGradient}, {"gradient in y", most.GradientY, MaxGradient},
	} {
		if c.most > c.limit || c.most < 0.95*c.limit {
			t.Errorf("%s: up to %.4f, the limit is %.4f", c.name, c.most, c.limit)
		}
	}
}

// The pose is a claim about the picture: the bore, found by its darkness, must lie where the pose says.
func TestPoseIsWhatThePictureShows(t *testing.T) {
	for seed := range uint64(4) {
		p := render(t, Flange, seed, Sound)
		var sx, sy, n float64
		for y := range Height {
			for x := range Width {
				away := math.Hypot(float64(x-Width/2), float64(y-Height/2))
				if away < 60 && p.Pixels[3*(y*Width+x)+1] < 70 {
					sx, sy, n = sx+float64(x-Width/2), sy+float64(y-Height/2), n+1
				}
			}
		}
		if dx, dy := sx/n-p.Pose.ShiftX, sy/n-p.Pose.ShiftY; math.Abs(dx) > 1 || math.Abs(dy) > 1 {
			t.Errorf("seed %d: the bore is %.1f, %.1f pixels from where the pose says", seed, dx, dy)
		}
		if r := math.Sqrt(n / math.Pi); math.Abs(r-boreRadius) > 2 {
			t.Errorf("seed %d: the bore's radius is %.1f pixels, drawn %.1f", seed, r, boreRadius)
		}
	}
}

func TestRenderRefuses(t *testing.T) {
	for _, c := range []struct {
		product Product
		defect  Defect
		want    string
	}{
		{Cap, MissingHole, "cap, missing-hole: this product cannot have this defect"},
		{Weave, Scratch, "weave, scratch: this product cannot have this defect"},
		{Flange, BrokenYarn, "flange, broken-yarn: this product cannot have this defect"},
		{Flange, Defect(77), "flange, defect-77: this product cannot have this defect"},
		{Product(9), Sound, "there is no product 9"},
	} {
		if _, err := Render(c.product, 1, c.defect); err == nil || err.Error() != c.want {
			t.Errorf("%v %v: error %v, want %q", c.product, c.defect, err, c.want)
		}
	}
	if _, err := ParseProduct("gear"); err == nil || err.Error() != `there is no product "gear"; there are [flange cap weave]` {
		t.Errorf("ParseProduct: %v", err)
	}
	for _, p := range Products() {
		if got, err := ParseProduct(p.String()); err != nil || got != p {
			t.Errorf("ParseProduct(%q) = %v, %v", p, got, err)
		}
	}
}

func TestWriteLaysOutAFolder(t *testing.T) {
	dir := t.TempDir()
	if err := Write(dir, Cap, 2, 7, 40); err != nil {
		t.Fatal(err)
	}
	want := []string{"bad/0001_scratch.png", "bad/0002_dent.png", "bad/0003_stain.png", "bad/0004_crack.png", "bad/0005_chip.png",
		"bad/0006_contamination.png", "bad/0007_scratch.png", "good/0001.png", "good/0002.png"}
	for _, name := range want[:7] {
		want = append(want, strings.Replace(name, "bad", "masks", 1))
	}
	var got []string
	for _, sub := range []string{"bad", "good", "masks"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			got = append(got, sub+"/"+e.Name())
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("wrote %q, want %q", got, want)
	}
	// What is read back is what was drawn, and no part is written twice.
	for name, drawn := range map[string]Picture{
		"good/0002.png":      render(t, Cap, 41, Sound),
		"bad/0004_crack.png": render(t, Cap, 45, Crack),
	} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		img, err := png.Decode(f)
		if err != nil {
			t.Fatal(err)
		}
		for i := range Width * Height {
			r, g, b, _ := img.At(i%Width, i/Width).RGBA()
			if got, want := [3]byte{byte(b >> 8), byte(g >> 8), byte(r >> 8)}, [3]byte(drawn.Pixels[3*i:]); got != want {
				t.Fatalf("%s: pixel %d is %v, drawn %v", name, i, got, want)
			}
		}
	}
}

func TestWriteSaysWhereItFails(t *testing.T) {
	dir := t.TempDir()
	taken := filepath.Join(dir, "good")
	if err := os.WriteFile(taken, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("write pictures of parts: mkdir %s: not a directory", taken)
	if err := Write(dir, Cap, 1, 0, 1); err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
}

func BenchmarkRender(b *testing.B) {
	for _, p := range Products() {
		b.Run(p.String(), func(b *testing.B) {
			for b.Loop() {
				render(b, p, 1, Stain)
			}
		})
	}
}
