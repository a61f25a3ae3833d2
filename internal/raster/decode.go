// Package raster reads picture files as frames, in one way for everything that needs it: 8-bit BGR
// whatever the file holds. It refuses a file that ends before its picture does. Where files come from
// and what their pictures are worth is not its business.
package raster

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"gocv.io/x/gocv"

	"linectl/internal/part"
)

const maxPixels = 256 << 20 // a picture of 16k x 16k

var endings = []string{".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}

// Endings are the endings of names that are taken for pictures.
func Endings() []string { return slices.Clone(endings) }

// Named tells whether a file is a picture by its name. One that begins with a dot is somebody's
// temporary file.
func Named(name string) bool {
	return !strings.HasPrefix(name, ".") && slices.Contains(endings, strings.ToLower(filepath.Ext(name)))
}

// Decode reads a picture from the bytes of a JPEG, PNG, BMP, TIFF or WebP, whatever the file is called, as 8-bit
// BGR: grey three times, CMYK as inks on white (Adobe's way round), of 16 bits the upper 8, without transparency,
// the first of several pictures, turned as the EXIF orientation says. A camera's frame that was saved without loss
// comes back bit for bit. A file that is cut off gives an error that Is ErrCut; one that OpenCV would read otherwise
// is refused.
func Decode(data []byte) (part.Frame, error) {
	if len(data) == 0 {
		return part.Frame{}, cut("is empty")
	}
	if err := whole(data); err != nil {
		return part.Frame{}, err
	}
	if err := fits(data); err != nil {
		return part.Frame{}, err
	}
	if err := meant(data); err != nil {
		return part.Frame{}, err
	}
	mat, err := gocv.IMDecode(data, gocv.IMReadColor)
	if err != nil {
		return part.Frame{}, fmt.Errorf("cannot be decoded: %w", err)
	}
	defer mat.Close()
	if mat.Empty() {
		return part.Frame{}, errors.New("is no picture that can be read, or is damaged")
	}
	return FromMat(mat)
}

// FromMat copies a picture out of OpenCV's memory.
func FromMat(mat gocv.Mat) (part.Frame, error) {
	if pixels := mat.Rows() * mat.Cols(); pixels > maxPixels {
		return part.Frame{}, tooLarge(uint64(mat.Cols()), uint64(mat.Rows()))
	}
	if mat.Type() != gocv.MatTypeCV8UC3 {
		return part.Frame{}, fmt.Errorf("has pixels of type %v where 8-bit BGR is needed", mat.Type())
	}
	return part.Frame{Pixels: mat.ToBytes(), Width: mat.Cols(), Height: mat.Rows()}, nil
}
