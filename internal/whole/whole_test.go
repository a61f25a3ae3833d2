package whole

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func entries(t *testing.T, folder string) (names []string) {
	t.Helper()
	found, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range found {
		names = append(names, e.Name())
	}
	return names
}

func TestWriteReplacesAndCreateDoesNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	for _, text := range []string{"one", "two"} {
		if err := Write(path, 0o640, Bytes([]byte(text))); err != nil || read(t, path) != text {
			t.Fatal(err, read(t, path))
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Error(info.Mode(), err)
	}
	if err := Create(path, 0o600, Bytes([]byte("three"))); !errors.Is(err, fs.ErrExist) || read(t, path) != "two" {
		t.Errorf("%v: %s", err, read(t, path))
	}
	if err := Create(path+"b", 0o600, Bytes([]byte("four"))); err != nil || read(t, path+"b") != "four" {
		t.Error(err)
	}
	if names := entries(t, filepath.Dir(path)); len(names) != 2 {
		t.Errorf("left behind: %v", names)
	}
}

// A USB stick has no links: the name is given by a rename, which replaces nothing.
func TestANewNameWithoutLinks(t *testing.T) {
	folder := t.TempDir()
	from, to := filepath.Join(folder, "a"), filepath.Join(folder, "b")
	refused, rename := unix.EPERM, unix.Renameat2
	name := newName(func(from, to string) error { return &os.LinkError{Op: "link", Old: from, New: to, Err: refused} },
		func(fromAt int, from string, toAt int, to string, flags uint) error {
			return rename(fromAt, from, toAt, to, flags)
		})
	for _, refused = range []unix.Errno{unix.EPERM, unix.EOPNOTSUPP, unix.ENOSYS} {
		if refused == unix.ENOSYS { // nor a rename that replaces nothing
			rename = func(int, string, int, string, uint) error { return unix.EINVAL }
		}
		if err := os.WriteFile(from, []byte("one"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := name(from, to); err != nil || read(t, to) != "one" {
			t.Errorf("%v: %v", refused, err)
		}
		if err := os.WriteFile(from, []byte("two"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := name(from, to); !errors.Is(err, fs.ErrExist) || read(t, to) != "one" {
			t.Errorf("%v: %v", refused, err)
		}
		if err := os.Remove(to); err != nil {
			t.Fatal(err)
		}
	}
	refused = unix.ENOSPC
	if err := name(from, to); !errors.Is(err, unix.ENOSPC) {
		t.Error(err)
	}
}

func TestNameReplacesNothing(t *testing.T) {
	folder := t.TempDir()
	from, to := filepath.Join(folder, "a"), filepath.Join(folder, "b")
	for _, path := range []string{from, to} {
		if err := os.WriteFile(path, []byte(path), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Name(from, to); !errors.Is(err, fs.ErrExist) || read(t, from) != from || read(t, to) != to {
		t.Error(err)
	}
	if err := Name(from, to+"c"); err != nil || read(t, to+"c") != from {
		t.Error(err)
	}
	if names := entries(t, folder); len(names) != 2 {
		t.Errorf("left behind: %v", names)
	}
}

// stubborn is a file whose mode cannot be changed.
type stubborn struct{ *os.File }

func (stubborn) Chmod(fs.FileMode) error { return &fs.PathError{Op: "chmod", Err: unix.EPERM} }

func TestARefusedModeCountsOnlyWhereThereAreModes(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := setMode(stubborn{file}, 0o640); !errors.Is(err, unix.EPERM) {
		t.Errorf("a file system with modes: %v", err)
	}
	if err := file.Chmod(0o755); err != nil { // what FAT shows of a new file
		t.Fatal(err)
	}
	if err := setMode(stubborn{file}, 0o640); err != nil {
		t.Errorf("a file system without modes: %v", err)
	}
}

// Whatever fails, the old file is there and nothing else is.
func TestAFailureLeavesWhatWas(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "a")
	if err := Write(path, 0o640, Bytes([]byte("one"))); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for _, make := range []func(string, fs.FileMode, func(io.Writer) error) error{Write, Create} {
		if err := make(path, 0o640, func(w io.Writer) error { io.WriteString(w, "tw"); return broken }); err != broken {
			t.Error(err)
		}
		if err := make(folder, 0o640, Bytes(nil)); err == nil { // the name is that of a folder
			t.Error("no error")
		}
	}
	if names := entries(t, folder); len(names) != 1 || read(t, path) != "one" {
		t.Errorf("%v: %s", names, read(t, path))
	}
	if err := Write(filepath.Join(folder, "none", "a"), 0o640, Bytes(nil)); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestFolder(t *testing.T) {
	top := t.TempDir()
	for range 2 {
		if err := Folder(filepath.Join(top, "2026", "11", "24"), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	if err := Write(filepath.Join(top, "2026", "file"), 0o640, Bytes(nil)); err != nil {
		t.Fatal(err)
	}
	if err := Folder(filepath.Join(top, "2026", "file", "x"), 0o750); err == nil {
		t.Error("a folder in a file")
	}
	if err := Folder(filepath.Join(top, "2026", "file"), 0o750); !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	if err := Folder("here", 0o750); err != nil { // relative
		t.Error(err)
	}
	os.Remove("here")
}
