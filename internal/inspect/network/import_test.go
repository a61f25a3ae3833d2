package network

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"linectl/internal/inspect/realset"
)

// TestImport imports real classifiers of three exporters and finds their layers by stride.
func TestImport(t *testing.T) {
	for _, test := range []struct {
		file   string
		layers string // strides and channels that are found
	}{
		{"resnet50_imagenet", "8/512 16/1024"},
		{"mobilenet_v1_imagenet", "8/256 16/512"},
		{"lab_resnet18", "4/64 8/128 16/256"},
	} {
		t.Run(test.file, func(t *testing.T) {
			file := filepath.Join(realset.Folder(t), "../backbones", test.file+".onnx")
			if _, err := os.Stat(file); err != nil {
				t.Skipf("the network is not here: %v", err)
			}
			r, folder := start(t), t.TempDir()
			got, err := r.Import(Source{File: file, Mean: ImageNetMean, Std: ImageNetStd}, folder)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d bytes become %d, greatest relative deviation %.1e, layers %s", got.Before, got.After, got.Deviation, got.Backbone.offer())
			for _, want := range strings.Fields(test.layers) {
				stride, _, _ := strings.Cut(want, "/")
				names, err := got.Backbone.Parse(stride)
				if err != nil {
					t.Fatal(err)
				}
				l, err := got.Backbone.Choose(names)
				if err != nil || want != stride+"/"+strconv.Itoa(l[0].Channels) {
					t.Errorf("stride %s: %+v, want %s; %v", stride, l, want, err)
				}
			}
			found, err := FindBackbone(test.file, folder)
			if err != nil || found.SHA256 != got.Backbone.SHA256 {
				t.Errorf("by its name: %v", err)
			}
			if _, err := r.Import(Source{File: file, Mean: ImageNetMean, Std: ImageNetStd}, folder); err == nil || !strings.Contains(err.Error(), "there is a backbone") {
				t.Errorf("a second time: %v", err)
			}
		})
	}
}

// TestImportRefuses: what cannot be imported leaves nothing behind.
func TestImportRefuses(t *testing.T) {
	r, folder := start(t), t.TempDir()
	whole, err := os.ReadFile(ours)
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.onnx")
	if err := os.WriteFile(broken, whole[:len(whole)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		source Source
		want   string
	}{
		{Source{File: "/nowhere/net.onnx"}, "no such file"},
		{Source{File: broken}, "this is no ONNX file"},
		{Source{File: ours, Name: "a/b"}, "is no name for a backbone"},
		{Source{File: ours, Mean: ImageNetMean, Std: ImageNetStd, Layers: []string{"layer9"}}, `no layer "layer9"`},
		{Source{File: ours, Mean: ImageNetMean, Std: [3]float32{1, 0, 1}}, "std must be positive"},
		{Source{File: "import_test.go"}, "the file's ending is not"},
	} {
		if _, err := r.Import(test.source, folder); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.source, err, test.want)
		}
	}
	if left, _ := os.ReadDir(folder); len(left) > 0 {
		t.Errorf("%v is left behind", left)
	}
}
