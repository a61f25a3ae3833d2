package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"linectl/internal/hint"
)

// What the user names and is no file of its own is not replaced by one: a link stays, a pipe gets what was asked for.
func TestWriteWhole(t *testing.T) {
	folder := t.TempDir()
	target, link := filepath.Join(folder, "report"), filepath.Join(folder, "link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
	}
	for _, path := range []string{target, link} {
		if err := writeWhole("page", path, 0o640, text(path)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(target); err != nil || string(got) != path {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := writeWhole("page", fmt.Sprintf("/dev/fd/%d", w.Fd()), 0o640, text("piped")); err != nil {
		t.Error(err)
	}
	w.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != "piped" {
		t.Errorf("the pipe got %q, %v", got, err)
	}
}

// A demo makes its folder anew. What it could not use is refused before, and pictures that lie there stay.
func TestDemoKeepsPictures(t *testing.T) {
	folder := t.TempDir()
	inside := filepath.Join(folder, "pictures")
	if err := os.Mkdir(inside, 0o750); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(inside, link); err != nil {
		t.Fatal(err)
	}
	for _, d := range []demo{
		{folder: folder, pictures: inside}, {folder: folder, pictures: link}, {folder: folder, pictures: folder},
		{folder: folder, pictures: filepath.Join(folder, "none")}, {folder: folder, product: "no such product"},
	} {
		if err := d.check(); hint.KindOf(err) != hint.Usage {
			t.Errorf("%+v: %v", d, err)
		}
	}
	if err := (&demo{folder: inside, pictures: t.TempDir()}).check(); err != nil {
		t.Error(err)
	}
}
