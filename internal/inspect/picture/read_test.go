package picture

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"linectl/internal/part"
	"linectl/internal/raster"
)

// sample is a picture with a dark left half and a reddish right half.
func sample() *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, 60, 40))
	for y := range 40 {
		for x := range 60 {
			img.SetRGBA(x, y, color.RGBA{20, 20, 20, 255})
			if x >= 30 {
				img.SetRGBA(x, y, color.RGBA{200, 100, 50, 255})
			}
		}
	}
	return img
}

func encodePNG(t testing.TB, img image.Image) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodeJPEG(t testing.TB, img image.Image) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// turned puts an EXIF orientation into a JPEG.
func turned(data []byte, orientation uint16) []byte {
	tiff := []byte("II*\x00\x08\x00\x00\x00\x01\x00")
	tiff = binary.LittleEndian.AppendUint16(tiff, 0x0112)
	tiff = binary.LittleEndian.AppendUint16(tiff, 3)
	tiff = binary.LittleEndian.AppendUint32(tiff, 1)
	tiff = binary.LittleEndian.AppendUint32(tiff, uint32(orientation))
	tiff = binary.LittleEndian.AppendUint32(tiff, 0)
	exif := append([]byte("Exif\x00\x00"), tiff...)
	segment := append([]byte{0xff, 0xe1}, binary.BigEndian.AppendUint16(nil, uint16(len(exif)+2))...)
	return append(append(append([]byte{}, data[:2]...), append(segment, exif...)...), data[2:]...)
}

func pixel(f part.Frame, x, y int) [3]byte { return [3]byte(f.Pixels[3*(y*f.Width+x):]) }

func near(a, b [3]byte, tolerance int) bool {
	for i := range a {
		if d := int(a[i]) - int(b[i]); d > tolerance || d < -tolerance {
			return false
		}
	}
	return true
}

func TestDecodeKinds(t *testing.T) {
	img := sample()
	grey, deep, clear := image.NewGray(img.Rect), image.NewNRGBA64(img.Rect), image.NewNRGBA(img.Rect)
	for y := range 40 {
		for x := range 60 {
			grey.Set(x, y, img.At(x, y))
			deep.Set(x, y, img.At(x, y))
			c := img.RGBAAt(x, y)
			clear.SetNRGBA(x, y, color.NRGBA{c.R, c.G, c.B, 128})
		}
	}
	orange, level := [3]byte{50, 100, 200}, [3]byte{124, 124, 124} // BGR
	for _, test := range []struct {
		name          string
		data          []byte
		width, height int
		x, y          int
		want          [3]byte
	}{
		{"png", encodePNG(t, img), 60, 40, 45, 20, orange},
		{"png 16 bit", encodePNG(t, deep), 60, 40, 45, 20, orange},
		{"png with alpha", encodePNG(t, clear), 60, 40, 45, 20, orange},
		{"png grey", encodePNG(t, grey), 60, 40, 45, 20, level},
		{"jpeg", encodeJPEG(t, img), 60, 40, 45, 20, orange},
		{"jpeg turned by EXIF", turned(encodeJPEG(t, img), 6), 40, 60, 20, 45, orange},
		{"jpeg with padding behind it", append(encodeJPEG(t, img), make([]byte, 4096)...), 60, 40, 45, 20, orange},
	} {
		f, err := raster.Decode(test.data)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if f.Width != test.width || f.Height != test.height || len(f.Pixels) != 3*f.Width*f.Height {
			t.Errorf("%s: %dx%d with %d bytes, want %dx%d", test.name, f.Width, f.Height, len(f.Pixels), test.width, test.height)
			continue
		}
		if got := pixel(f, test.x, test.y); !near(got, test.want, 4) {
			t.Errorf("%s: pixel %v, want %v", test.name, got, test.want)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	png, jpeg := encodePNG(t, sample()), encodeJPEG(t, sample())
	cut := "is cut off: the file ends in the middle of the picture"
	for _, test := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty.png", []byte{}, "is empty"},
		{"text.png", []byte("this is no picture"), "is no JPEG, PNG, BMP, TIFF or WebP"},
		{"cut.png", png[:len(png)-20], cut},
		{"early.png", png[:30], cut},
		{"cut.jpg", jpeg[:len(jpeg)*3/4], cut},
		{"last.jpg", jpeg[:len(jpeg)-1], cut},
		{"head.jpg", jpeg[:3], cut},
		{"thumbnail.jpg", turned(jpeg, 1)[:60], cut},
	} {
		path := filepath.Join(dir, test.name)
		if err := os.WriteFile(path, test.data, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Read(path)
		if want := "picture " + path + ": " + test.want; err == nil || err.Error() != want {
			t.Errorf("%s: error %q, want %q", test.name, err, want)
		}
		if got := part.ReasonOf(err, part.Unknown); got != part.BadFrame {
			t.Errorf("%s: reason %q, want bad-frame", test.name, got)
		}
	}
	if _, err := Read(filepath.Join(dir, "none.png")); err == nil || !strings.HasSuffix(err.Error(), "none.png: no such file or directory") {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Read(dir); err == nil || !strings.HasSuffix(err.Error(), ": is not a file") {
		t.Errorf("folder: %v", err)
	}
}
