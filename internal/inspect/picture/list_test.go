package picture

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// TestListFollowsALink: the folder that is named may be a link to another one.
func TestListFollowsALink(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.png"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "good")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if found, err := List(link); err != nil || !slices.Equal(found, []string{link + "/a.png"}) {
		t.Errorf("found %v, %v", found, err)
	}
}

// TestDoubles: a mask beside its picture has the same name.
func TestDoubles(t *testing.T) {
	text := Doubles("bad pictures", []string{"x/1.jpg", "x/1.png", "x/2.jpg", "y/2.png", "x/3.bmp", "x/3.tif", "x/3.png"})
	if !strings.HasPrefix(text, "3 bad pictures have the name of another one but for its ending, as x/1.jpg and x/1.png: ") {
		t.Error(text)
	}
	if text := Doubles("pictures", []string{"1.jpg", "11.jpg", "1_mask.png"}); text != "" {
		t.Errorf("of different names: %s", text)
	}
}
