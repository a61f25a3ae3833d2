// Package docs_test holds the manual's pages against what they describe.
package docs_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A dependency that nobody wrote down is one that nobody has judged.
func TestDependenciesAreListed(t *testing.T) {
	page := read(t, "dependencies.md")
	modules := regexp.MustCompile(`(?m)^\t(\S+) (v\S+)$`).FindAllStringSubmatch(read(t, "../go.mod"), -1)
	if len(modules) == 0 {
		t.Fatal("go.mod has no direct dependency in the form that this test reads")
	}
	for _, m := range modules {
		if line := "| `" + m[1] + "` | " + m[2] + " |"; !strings.Contains(page, line) {
			t.Errorf("dependencies.md lacks a line that begins %q", line)
		}
	}

	// Every package that set-up may install.
	setup := read(t, "../scripts/setup.sh")
	var packages []string
	for _, m := range regexp.MustCompile(`\|\| echo "?([a-z0-9+$-]+)`).FindAllStringSubmatch(setup, -1) {
		packages = append(packages, m[1])
	}
	for _, m := range regexp.MustCompile(`install_packages ([a-z0-9 -]+)`).FindAllStringSubmatch(setup, -1) {
		packages = append(packages, strings.Fields(m[1])...)
	}
	if len(packages) < 7 {
		t.Fatalf("set-up installs %q: this test no longer reads it", packages)
	}
	for _, name := range packages {
		if name, _, varies := strings.Cut(name, "$"); !strings.Contains(page, "`"+name) || !varies && !strings.Contains(page, "`"+name+"`") {
			t.Errorf("dependencies.md lacks the package %s", name)
		}
	}

	versions := read(t, "../scripts/versions.sh")
	for _, m := range regexp.MustCompile(`(?m)^(\w+)_VERSION=(\S+)$`).FindAllStringSubmatch(versions, -1) {
		if !strings.Contains(page, m[2]) {
			t.Errorf("dependencies.md lacks %s %s", m[1], m[2])
		}
	}
}
