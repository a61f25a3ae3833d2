// Package backbone holds the networks that come with linectl against what is said of them.
package backbone

import (
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"linectl/internal/inspect/network"
)

const backbones = "../../backbones"

// Each network is what its card says, the page names its SHA-256 and licence, and all are small enough to come along.
func TestShippedBackbones(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(backbones, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(backbones, "*.onnx"))
	if err != nil || len(files) == 0 {
		t.Fatal("no backbone at all", err)
	}
	var size int64
	for _, file := range files {
		b, err := network.ReadBackbone(file)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, said := range []string{b.Name, b.SHA256, b.Licence} {
			if said == "" || !strings.Contains(string(page), said) {
				t.Errorf("backbones/README.md does not say %q of %s", said, file)
			}
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > 12e6 {
		t.Errorf("the backbones take %d bytes, more than 12 MB", size)
	}
}

// A vivid colour is answered with features about as long as those of grey. One colour that is not, such as a blue that the renderings
// never showed, would drown whatever else there is on a part: forty times as long was seen.
func TestColours(t *testing.T) {
	const side, most = 128, 3.0
	r, err := network.Start("", network.CPU, 1)
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(backbones, "*.onnx"))
	for _, file := range files {
		b, err := network.ReadBackbone(file)
		if err != nil {
			t.Fatal(err)
		}
		n, err := r.Open(b, b.PatchOf, side, side)
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		// lengths are the root mean squares of the vectors of each layer.
		lengths := func(rgb [3]float64) []float64 {
			random, in := rand.New(rand.NewPCG(1, 2)), n.Input.Data()
			for i := range side * side {
				grain := 12 * random.NormFloat64()
				for c, level := range rgb {
					v := min(max(level+grain, 0), 255)
					in[c*side*side+i] = (float32(v/255) - b.Mean[c]) / b.Std[c]
				}
			}
			if err := n.Run(); err != nil {
				t.Fatal(err)
			}
			var all []float64
			for _, f := range n.Features {
				var sum float64
				for _, v := range f.Tensor.Data() {
					sum += float64(v) * float64(v)
				}
				all = append(all, math.Sqrt(sum/float64(f.Width*f.Height)))
			}
			return all
		}
		grey := lengths([3]float64{128, 128, 128})
		levels := []float64{20, 130, 240}
		for _, red := range levels {
			for _, green := range levels {
				for _, blue := range levels {
					for i, length := range lengths([3]float64{red, green, blue}) {
						if ratio := length / grey[i]; !(ratio < most) {
							t.Errorf("%s: %s of red %g, green %g, blue %g is %.1f times as long as of grey", b.Name, b.PatchOf[i], red, green, blue, ratio)
						}
					}
				}
			}
		}
	}
}

// The pipeline in a short form: it runs, the losses fall, a stop changes nothing, and what it exports is exact.
func TestPipeline(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	if out, err := exec.Command("./make.sh", "check").CombinedOutput(); err != nil {
		t.Fatalf("make.sh check: %v\n%s", err, out)
	}
}
