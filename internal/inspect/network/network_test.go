package network

import (
	"crypto/sha256"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"linectl/internal/hint"
	"linectl/internal/inspect/golden"
)

const ours = "../../../backbones/" + DefaultName

func start(t *testing.T) *Runtime {
	t.Helper()
	r, err := Start("", CPU, 1)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestNetworksOfOurOwn holds the networks that come with linectl, whose weights are float16, against what PyTorch gave with
// the float32 networks when tools/backbone exported them.
func TestNetworksOfOurOwn(t *testing.T) {
	r := start(t)
	for _, name := range []string{"linectl_resnet18", "linectl_small"} {
		b, err := ReadBackbone(filepath.Join(filepath.Dir(ours), name+".onnx"))
		if err != nil {
			t.Fatal(err)
		}
		want := golden.Read(t, filepath.Join("testdata", name+".golden.gz"))
		image := want["image"]
		net, err := r.Open(b, []string{"layer2", "layer3"}, image.Shape[3], image.Shape[2])
		if err != nil {
			t.Fatal(err)
		}
		defer net.Close()
		copy(net.Input.Data(), image.Values)
		if err := net.Run(); err != nil {
			t.Fatal(err)
		}
		for _, f := range net.Features {
			exact := want[f.Name]
			if !slices.Equal(exact.Shape, []int{1, f.Channels, f.Height, f.Width}) {
				t.Fatalf("%s: %s is %d x %d x %d, want %v", name, f.Name, f.Channels, f.Height, f.Width, exact.Shape)
			}
			var difference, size float64
			for j, v := range f.Tensor.Data() {
				w := exact.Values[j]
				difference += float64((v - w) * (v - w))
				size += float64(w * w)
			}
			if relative := math.Sqrt(difference / size); !(relative < 1e-3) {
				t.Errorf("%s: %s differs by %g of its size", name, f.Name, relative)
			}
		}
	}
}

// card writes an ONNX file with its card and returns the file's path.
func card(t *testing.T, model []byte, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "net.onnx")
	if err := os.WriteFile(path, model, 0o644); err != nil {
		t.Fatal(err)
	}
	text = strings.ReplaceAll(text, "SUM", fmt.Sprintf("%x", sha256.Sum256(model)))
	if err := os.WriteFile(strings.TrimSuffix(path, ".onnx")+".toml", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

const wellFormed = `name = "net"
sha256 = "SUM"
input = "image"
mean = [0, 0, 0]
std = [1, 1, 1]
multiple = 32
patch_of = ["layer2"]
[[layers]]
name = "layer2"
stride = 8
channels = 128
`

func TestBackboneRefuses(t *testing.T) {
	model := []byte("not a network")
	for _, test := range []struct {
		name, from, to, want string
		kind                 hint.Kind
	}{
		{"other file", "SUM", strings.Repeat("0", 64), "is not what its card describes", hint.Damage},
		{"unknown key", "name = \"net\"", "name = \"net\"\ncolour = 1", "unknown key colour", hint.Usage},
		{"unknown layer", `patch_of = ["layer2"]`, `patch_of = ["layer9"]`, `patch_of: there is no layer "layer9"`, hint.Usage},
		{"no layer", `patch_of = ["layer2"]`, `patch_of = []`, `patch_of names no layer`, hint.Usage},
		{"no stride", "stride = 8", "stride = 0", `layer "layer2": stride must be 1 to 256`, hint.Usage},
		{"no spread", "std = [1, 1, 1]", "std = [1, 0, 1]", "std must be three positive numbers", hint.Usage},
		{"several at once", "multiple = 32\npatch_of", "patch_of", "multiple must be 1 or more", hint.Usage},
	} {
		_, err := ReadBackbone(card(t, model, strings.Replace(wellFormed, test.from, test.to, 1)))
		if err == nil || !strings.Contains(err.Error(), test.want) || hint.KindOf(err) != test.kind || hint.Of(err) == "" {
			t.Errorf("%s: %v (kind %d), want %q", test.name, err, hint.KindOf(err), test.want)
		}
	}
	path := card(t, model, wellFormed)
	b, err := ReadBackbone(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := start(t).Open(b, b.PatchOf, 64, 64); err == nil || !strings.Contains(err.Error(), "open backbone "+path) {
		t.Errorf("a file that is no network: %v", err)
	}
	if err := os.Remove(strings.TrimSuffix(path, ".onnx") + ".toml"); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadBackbone(path); err == nil || !strings.Contains(err.Error(), "has no card") {
		t.Errorf("without a card: %v", err)
	}
	if _, err := ReadBackbone(filepath.Join(t.TempDir(), "none.onnx")); err == nil || hint.KindOf(err) != hint.Usage {
		t.Errorf("without a file: %v", err)
	}
}

// TestCardThatLies: a card that promises other layers than the file gives is found out when the network is
// opened, not at the first part.
func TestCardThatLies(t *testing.T) {
	model, err := os.ReadFile(ours)
	if err != nil {
		t.Fatal(err)
	}
	for _, lie := range [][2]string{{"channels = 128", "channels = 64"}, {"stride = 8", "stride = 4"}, {`input = "image"`, `input = "x"`}} {
		b, err := ReadBackbone(card(t, model, strings.Replace(wellFormed, lie[0], lie[1], 1)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := start(t).Open(b, b.PatchOf, 64, 64); err == nil {
			t.Errorf("%s is believed", lie[1])
		}
	}
	b, err := ReadBackbone(ours)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := start(t).Open(b, b.PatchOf, 100, 64); err == nil || !strings.Contains(err.Error(), "needs multiples of 32") {
		t.Errorf("a size that the network cannot take: %v", err)
	}
}

func TestFindBackbone(t *testing.T) {
	if _, err := FindBackbone("", t.TempDir()); err == nil || !strings.Contains(err.Error(), "was not found; looked in ") {
		t.Errorf("nowhere: %v", err)
	}
	b, err := FindBackbone("", filepath.Dir(ours))
	if err != nil || b.Name != "linectl_resnet18" {
		t.Errorf("in the state folder: %v", err)
	}
}

func TestStartRefuses(t *testing.T) {
	start(t)
	for _, test := range []struct{ library, device, want string }{
		{"", "gpu", `device "gpu" is no device; allowed is cpu, cuda:N and tensorrt:N for GPU N from 0, openvino:CPU, openvino:GPU and openvino:NPU:fp16; :fp16 may follow tensorrt:N and openvino:GPU`},
		{"", "cuda:0", "device cuda:0: the ONNX Runtime " + os.Getenv(LibraryVariable) + " was built without it: libonnxruntime_providers_cuda.so is not beside it"},
		{"/nowhere/lib.so", CPU, "inspect.library names ONNX Runtime's library: stat /nowhere/lib.so: no such file or directory"},
	} {
		if _, err := Start(test.library, test.device, 1); err == nil || err.Error() != test.want {
			t.Errorf("error %v, want %s", err, test.want)
		}
	}
	t.Setenv(LibraryVariable, "/nowhere/else.so")
	if _, err := Start("", CPU, 1); err == nil || err.Error() != "LINECTL_ONNXRUNTIME names ONNX Runtime's library: stat /nowhere/else.so: no such file or directory" {
		t.Errorf("environment: %v", err)
	}
	t.Setenv(LibraryVariable, "")
	if _, err := library("", CPU); err == nil || !strings.HasPrefix(err.Error(), "ONNX Runtime's library libonnxruntime.so was not found; looked in ") {
		t.Errorf("nowhere: %v", err)
	}
	if _, err := Start(ours, CPU, 1); err == nil || !strings.Contains(err.Error(), "already loaded from") {
		t.Errorf("a second library in one process: %v", err)
	}
}

func FuzzParseCard(f *testing.F) {
	f.Add([]byte(wellFormed))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseCard(text)
		if err != nil {
			return
		}
		if layers, err := c.Choose(c.PatchOf); err != nil || len(layers) == 0 {
			t.Errorf("taken, but its layers cannot be chosen: %v", err)
		}
	})
}
