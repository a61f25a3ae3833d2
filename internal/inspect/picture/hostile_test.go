package picture

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"linectl/internal/hint"
)

// TestNames: whatever a file is called, its content says what it is, and a message about it stays one line.
func TestNames(t *testing.T) {
	dir := t.TempDir()
	png, jpeg := encodePNG(t, sample()), encodeJPEG(t, sample())
	for name, data := range map[string][]byte{"a photo.png": png, "Прüfbild 検査.png": png, "two\nlines.png": png, "\x1b[31m.png": png, "\xff\xfe.png": png,
		"a jpeg.png": jpeg, "a png.jpg": png} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if f, err := Read(path); err != nil || f.Width != 60 || f.Source != path {
			t.Errorf("%q: %dx%d of %q, %v", name, f.Width, f.Height, f.Source, err)
		}
		if err := os.WriteFile(path, data[:40], 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil || strings.ContainsAny(err.Error(), "\n\x1b") || !strings.Contains(err.Error(), ".") {
			t.Errorf("%q cut: %q", name, err)
		}
	}
	if found, err := List(dir); err != nil || len(found) != 7 {
		t.Errorf("%q, %v", found, err)
	}
}

// TestNoFiles: what is no file of pixels is refused without waiting for it, with what it is.
func TestNoFiles(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.Mkdir(in("folder.png"), 0o755), syscall.Mkfifo(in("pipe.png"), 0o644), os.Symlink(in("gone"), in("link.png")),
		os.Symlink(in("round.png"), in("round.png")), os.Symlink("/proc/self/mem", in("unreadable.png")),
		os.WriteFile(in("long.png"), nil, 0o644), os.Truncate(in("long.png"), maxFile+1), // no block of it is on the disk
		os.WriteFile(in("bomb.png"), bomb(t), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"folder.png":     "is not a file",
		"pipe.png":       "is not a file",
		"link.png":       "no such file or directory",
		"round.png":      "too many levels of symbolic links",
		"unreadable.png": "input/output error",
		"long.png":       "is 256 MB long; at most 256 MB are read",
		"bomb.png":       "is 40000x40000; at most 256 million pixels are read",
	} {
		_, err := Read(in(name))
		if text := fmt.Sprintf("picture %s: %s", in(name), want); err == nil || err.Error() != text || hint.Of(err) == "" {
			t.Errorf("%s: %v (%s), want %s", name, err, hint.Of(err), text)
		}
	}
}

// bomb is a whole PNG of a few kilobytes that would unfold to 5 GB.
func bomb(t *testing.T) []byte {
	header := append([]byte("\x00\x00\x00\x0dIHDR\x00\x00\x9c\x40\x00\x00\x9c\x40\x08\x02\x00\x00\x00"), 0, 0, 0, 0)
	data := encodePNG(t, sample())
	return append(append(bytes.Clone(data[:8]), header...), data[33:]...)
}
