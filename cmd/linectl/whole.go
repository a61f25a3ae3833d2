package main

import (
	"fmt"
	"io"
	"io/fs"

	"linectl/internal/hint"
	"linectl/internal/whole"
)

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
