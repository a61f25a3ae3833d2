package picture

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"linectl/internal/hint"
)

func TestList(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"10.png", "9.PNG", "b/2.jpeg", "b/10.jpg", "a1.bmp", "a01.bmp", "notes.txt", ".hidden.png", ".git/x.png"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range found {
		found[i], _ = filepath.Rel(dir, path)
	}
	if want := []string{"9.PNG", "10.png", "a01.bmp", "a1.bmp", "b/2.jpeg", "b/10.jpg"}; !slices.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
}

func TestListRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.png")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	for path, want := range map[string]string{
		dir + "/none": "folder of pictures " + dir + "/none: no such file or directory",
		file:          "folder of pictures " + file + ": is a file",
		empty:         "folder " + empty + " holds no picture; looked for .png .jpg .jpeg .bmp .tif .tiff .webp, in folders inside it too",
	} {
		_, err := List(path)
		if err == nil || err.Error() != want || hint.Of(err) == "" || hint.KindOf(err) != hint.Usage {
			t.Errorf("error %q (hint %q), want %q", err, hint.Of(err), want)
		}
	}
}

func FuzzNaturalIsAnOrder(f *testing.F) {
	f.Add("9.png", "10.png", "09.png")
	f.Add("a1b", "a01b", "a1")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		sign := func(n int) int { return min(max(n, -1), 1) }
		if sign(natural(a, b)) != -sign(natural(b, a)) {
			t.Errorf("%q and %q: both before or both after the other", a, b)
		}
		if (natural(a, b) == 0) != (a == b) {
			t.Errorf("%q and %q are different names", a, b)
		}
		if natural(a, b) < 0 && natural(b, c) < 0 && natural(a, c) >= 0 {
			t.Errorf("%q, %q, %q go round in a circle", a, b, c)
		}
	})
}
