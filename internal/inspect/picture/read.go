// Package picture owns everything between a picture and the network's input: reading files, judging
// the picture itself (too dark, too bright, out of focus), and the one way of resizing. Training and
// serving go through the same code. It refuses to repair: a picture that cannot be read whole is an error.
package picture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"linectl/internal/hint"
	"linectl/internal/part"
	"linectl/internal/raster"
)

const maxFile = 256 << 20 // bytes

// Read reads a picture file as a frame: 8-bit BGR whatever the file holds (grey, alpha, 16 bit), turned
// as its EXIF orientation says. The error names the file and carries the reason bad-frame.
func Read(path string) (part.Frame, error) {
	frame, err := read(path)
	if err == nil {
		return frame, nil
	}
	next := "open the file with another program; replace it or take it away"
	if errors.Is(err, fs.ErrNotExist) {
		next = "check the path"
	}
	return part.Frame{}, hint.New(hint.Failure, part.Because(part.BadFrame, fmt.Errorf("picture %s: %w", Name(path), err)), next)
}

// Name is how messages write the name of a file: in quotes where a character would break the line or colour it.
func Name(file string) string {
	if utf8.ValidString(file) && !strings.ContainsFunc(file, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return file
	}
	return strconv.Quote(file)
}

func read(path string) (part.Frame, error) {
	info, err := os.Stat(path)
	if err != nil {
		return part.Frame{}, cause(err)
	}
	if !info.Mode().IsRegular() {
		return part.Frame{}, errors.New("is not a file")
	}
	if info.Size() > maxFile {
		return part.Frame{}, fmt.Errorf("is %d MB long; at most %d MB are read", info.Size()>>20, maxFile>>20)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return part.Frame{}, cause(err)
	}
	frame, err := raster.Decode(data)
	frame.Source = path
	return frame, err
}

// cause takes the path out of an error that will name it anyway.
func cause(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
