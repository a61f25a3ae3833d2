package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"linectl/internal/hint"
)

// writeWhole writes a file that has its name only when it is whole and on the disk. After an error there is
// no trace of it, and what had the name before is still there. An error of write is returned as it is; one of
// the file begins with what.
func writeWhole(what, path string, mode fs.FileMode, write func(io.Writer) error) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".unfinished-*")
	if err != nil {
		return hint.New(hint.Failure, fmt.Errorf("%s: %w", what, err), "give a folder that you may write to")
	}
	defer os.Remove(file.Name()) // fails once the file has its name
	if err := write(file); err != nil {
		file.Close()
		return err
	}
	if err := errors.Join(file.Chmod(mode), file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
