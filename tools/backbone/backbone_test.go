// Package backbone holds the networks that come with linectl against what is said of them.
package backbone

import (
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

// The pipeline in a short form: it runs, the losses fall, a stop changes nothing, and what it exports is exact.
func TestPipeline(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	if out, err := exec.Command("./make.sh", "check").CombinedOutput(); err != nil {
		t.Fatalf("make.sh check: %v\n%s", err, out)
	}
}
