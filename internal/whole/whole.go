// Package whole makes files that have their name only when they are whole and on the disk, whenever the power
// goes or the program ends. It refuses nothing and knows no file's meaning.
package whole

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Write makes a file, in place of one that has the name already. After an error there is no trace of it, and what
// had the name still has it. An error of write is returned as it is.
func Write(path string, mode fs.FileMode, write func(io.Writer) error) error {
	return WriteFrom(filepath.Dir(path), path, mode, write)
}

// WriteFrom is Write by way of a folder of the same file system, in which one finds what a crash left unfinished.
func WriteFrom(scratch, path string, mode fs.FileMode, write func(io.Writer) error) error {
	return place(scratch, path, mode, write, os.Rename)
}

// Create is Write for a name that nothing has yet; else the error is fs.ErrExist.
func Create(path string, mode fs.FileMode, write func(io.Writer) error) error {
	return place(filepath.Dir(path), path, mode, write, newName(os.Link, unix.Renameat2))
}

// Name gives a file that is whole and on the disk a name that nothing has yet, and takes its old one; else the error
// is fs.ErrExist.
func Name(from, to string) error {
	if err := newName(os.Link, unix.Renameat2)(from, to); err != nil {
		return err
	}
	if err := os.Remove(from); err != nil && !errors.Is(err, fs.ErrNotExist) { // it was linked, not renamed
		return err
	}
	return Settle(filepath.Dir(to))
}

// newName gives a file a name that nothing has: a rename alone would replace what has come meanwhile. FAT, exFAT and
// some shares have no links; some of these know only the rename that replaces.
func newName(link func(from, to string) error, rename func(fromAt int, from string, toAt int, to string, flags uint) error) func(from, to string) error {
	return func(from, to string) error {
		err := link(from, to)
		if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOSYS) {
			return err
		}
		err = rename(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
			if _, seen := os.Lstat(to); errors.Is(seen, fs.ErrNotExist) {
				return os.Rename(from, to)
			}
			err = unix.EEXIST
		}
		if err != nil {
			err = &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
		}
		return err
	}
}

func place(scratch, path string, mode fs.FileMode, write func(io.Writer) error, name func(from, to string) error) error {
	file, err := os.CreateTemp(scratch, ".unfinished-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // fails once the file has been renamed
	if err := write(file); err != nil {
		file.Close()
		return err
	}
	if err := errors.Join(setMode(file, mode), file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := name(file.Name(), path); err != nil {
		return err
	}
	return Settle(filepath.Dir(path))
}

// setMode takes a refusal only where the file system has no modes: there a new file has not the one that it was made with.
func setMode(file moded, mode fs.FileMode) error {
	err := file.Chmod(mode)
	if errors.Is(err, unix.EPERM) {
		if info, seen := file.Stat(); seen == nil && info.Mode().Perm() != made {
			return nil
		}
	}
	return err
}

type moded interface {
	Chmod(fs.FileMode) error
	Stat() (fs.FileInfo, error)
}

// made is the mode with which os.CreateTemp makes a file.
const made = 0o600

// Bytes writes what is in memory.
func Bytes(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

// Settle makes the names in a folder durable: that a file is on the disk does not mean that its name is.
func Settle(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Folder makes a folder with those above it, durably.
func Folder(path string, mode fs.FileMode) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := Folder(parent, mode); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return errors.Join(err, &fs.PathError{Op: "mkdir", Path: path, Err: fs.ErrExist})
	}
	return Settle(parent)
}
