package store

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestTheManualHasTheFormat: who checks the chain by the manual finds the columns that the code hashes.
func TestTheManualHasTheFormat(t *testing.T) {
	manual, err := os.ReadFile("../../docs/evidence.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range chained {
		if c.kind != int64(i+1) {
			t.Errorf("%s has kind %d at place %d", c.name, c.kind, i+1)
		}
		if row := fmt.Sprintf("| %d | `%s` | %s |", c.kind, c.name, strings.Join(c.columns, " ")); !strings.Contains(string(manual), row) {
			t.Errorf("the manual lacks %s", row)
		}
	}
}

// TestTheChainByTheManual works the chain out with Python, which knows nothing of this package.
func TestTheChainByTheManual(t *testing.T) {
	c := configIn(t.TempDir())
	evidence(t, c, nil)
	v, _ := verify(t, c, VerifyOptions{})
	out, err := exec.Command("python3", "testdata/chain.py", "../../docs/evidence.md", c.Path).CombinedOutput()
	if want := fmt.Sprintf("%d %s\n", v.Links, v.Head); err != nil || string(out) != want {
		t.Errorf("%v: %s; want %s", err, out, want)
	}
}
