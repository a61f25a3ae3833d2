package main

import (
	"fmt"
	"io"
	"io/fs"
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
	if err := unix.Access(filepath.Dir(path), unix.W_OK|unix.X_OK); err != nil {
		return hint.New(hint.Usage, fmt.Errorf("%s: folder %s: %w", flag, filepath.Dir(path), err), "give a folder that is there and that you may write to")
	}
	return nil
}

// writeWhole is whole.Write for a file that the user named. An error of write is returned as it is; one of the file
// begins with what.
func writeWhole(what, path string, mode fs.FileMode, write func(io.Writer) error) error {
	var failed error
	err := whole.Write(path, mode, func(w io.Writer) error {
		failed = write(w)
		return failed
	})
	if err == nil || failed != nil {
		return failed
	}
	return hint.New(hint.Failure, fmt.Errorf("%s: %w", what, err), "give a folder that you may write to")
}
