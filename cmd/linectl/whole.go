package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"linectl/internal/hint"
	"linectl/internal/whole"
)

// writable tells, before work that takes minutes, why the file that a flag names could not be written after it.
func writable(flag, path string) error {
	if path == "" {
		return nil
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return hint.New(hint.Usage, fmt.Errorf("%s: %s is a folder", flag, path), "name a file in it")
	}
	if err := unix.Access(filepath.Dir(path), unix.W_OK|unix.X_OK); err != nil {
		return hint.New(hint.Usage, fmt.Errorf("%s: folder %s: %w", flag, filepath.Dir(path), err), "give a folder that is there and that you may write to")
	}
	return nil
}

// writeWhole is whole.Write for a file that the user named. An error of write is returned as it is; one of the file
// begins with what. A link stays, and what it leads to is replaced; what is no file, as /dev/stdout, is written to.
func writeWhole(what, path string, mode fs.FileMode, write func(io.Writer) error) error {
	var failed error
	into := func(w io.Writer) error {
		failed = write(w)
		return failed
	}
	var err error
	if info, there := os.Stat(path); there == nil && !info.Mode().IsRegular() {
		err = writeInto(path, into)
	} else {
		if target, ok := filepath.EvalSymlinks(path); ok == nil {
			path = target
		}
		err = whole.Write(path, mode, into)
	}
	if err == nil || failed != nil {
		return failed
	}
	return hint.New(hint.Failure, fmt.Errorf("%s: %w", what, err), "give a folder that you may write to")
}

// writeInto writes to what is there.
func writeInto(path string, write func(io.Writer) error) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}
