package raster

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"os"
	"strings"
	"testing"

	"gocv.io/x/gocv"
)

// TestClaimedSizeIsTheDecoders: what the headers tell is what the decoder gives.
func TestClaimedSizeIsTheDecoders(t *testing.T) {
	for name, data := range files(t) {
		if w, h := claimed(data); w != 16 || h != 12 {
			t.Errorf("%s: claims %dx%d, is 16x12", name, w, h)
		}
	}
}

// claiming changes the header of a small file so that it claims a huge picture.
func claiming(name string, data []byte) []byte {
	data = bytes.Clone(data)
	switch {
	case strings.HasSuffix(name, ".png"):
		binary.BigEndian.PutUint32(data[16:], 60000)
		binary.BigEndian.PutUint32(data[20:], 60000)
		binary.BigEndian.PutUint32(data[29:], crc32.ChecksumIEEE(data[12:29]))
	case strings.HasSuffix(name, ".jpg"):
		at := bytes.Index(data, []byte{0xff, 0xc0})
		binary.BigEndian.PutUint16(data[at+5:], 65000)
		binary.BigEndian.PutUint16(data[at+7:], 65000)
	case strings.HasSuffix(name, ".bmp"):
		binary.LittleEndian.PutUint32(data[18:], 60000)
		binary.LittleEndian.PutUint32(data[22:], 1<<31|1) // a height from the top, and the greatest
	case strings.HasSuffix(name, ".tiff"):
		order := binary.ByteOrder(binary.LittleEndian)
		if data[0] == 'M' {
			order = binary.BigEndian
		}
		at := order.Uint32(data[4:])
		for e := range uint32(order.Uint16(data[at:])) {
			if entry := data[at+2+12*e:]; order.Uint16(entry) == 256 || order.Uint16(entry) == 257 {
				order.PutUint16(entry[2:], 4)
				order.PutUint32(entry[8:], 60000)
			}
		}
	default:
		return nil // 14 bits a side: no WebP of this kind is too large
	}
	return data
}

// TestHugeClaimsAreRefused: no memory is asked for on the word of a header.
func TestHugeClaimsAreRefused(t *testing.T) {
	for name, data := range files(t) {
		huge := claiming(name, data)
		if huge == nil {
			continue
		}
		if _, err := Decode(huge); err == nil || !strings.Contains(err.Error(), "at most 256 million pixels are read") {
			t.Errorf("%s: %v", name, err)
		}
	}
	webp := append([]byte("RIFF\x16\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00"), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	if _, err := Decode(webp); err == nil || !strings.Contains(err.Error(), "16777216x16777216") {
		t.Errorf("webp: %v", err)
	}
}

// pillow is a file, and how Pillow reads it.
type pillow struct {
	File, Pixels  []byte
	Width, Height int
}

// pillows is what testdata/pillow.py has written.
func pillows(t testing.TB) (all map[string]pillow) {
	t.Helper()
	text, err := os.ReadFile("testdata/pillow.json")
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestEveryFormCut: no form of file is a picture where its end is missing, unless, as some last bytes of a TIFF, the
// end is none of the picture's.
func TestEveryFormCut(t *testing.T) {
	const step = 13 // a prime, so that all kinds of places are cut
	for name, file := range pillows(t) {
		whole, _ := Decode(file.File)
		for n := len(file.File) - 1; n > 0; n -= step {
			frame, err := Decode(file.File[:n])
			if err == nil && (!strings.HasSuffix(name, ".tif") || !bytes.Equal(frame.Pixels, whole.Pixels)) {
				t.Errorf("%s cut to %d of %d bytes is a picture of %dx%d", name, n, len(file.File), frame.Width, frame.Height)
				break
			}
		}
	}
}

// TestEveryFormAsPillowReadsIt: the pixels of each form of file are those that another program finds in it, or the
// file is refused, and why is said.
func TestEveryFormAsPillowReadsIt(t *testing.T) {
	refused := map[string]string{
		"animated.gif":  "is no JPEG, PNG, BMP, TIFF or WebP",
		"portable.ppm":  "is no JPEG, PNG, BMP, TIFF or WebP",
		"jpeg2000.jp2":  "is no JPEG, PNG, BMP, TIFF or WebP",
		"large.tif":     "is no JPEG, PNG, BMP, TIFF or WebP", // BigTIFF
		"animated.webp": "is no picture that can be read, or is damaged",
		"float.tif":     "is no picture that can be read, or is damaged",
		"deep-cmyk.tif": "is no picture that can be read, or is damaged",
		"wrong-sum.png": "is no picture that can be read, or is damaged",
		"alpha.tif":     "is a TIFF with transparency, which would darken its colours: save it without",
	}
	for n := 2; n <= 8; n++ {
		refused[fmt.Sprintf("turned-%d.webp", n)] = "is a WebP that is to be shown turned, which is only read from other files: turn the pixels themselves"
	}
	for name, file := range pillows(t) {
		frame, err := Decode(file.File)
		if want, ok := refused[name]; ok {
			if err == nil || err.Error() != want {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
			continue
		}
		if err != nil || file.Pixels == nil || frame.Width != file.Width || frame.Height != file.Height {
			t.Errorf("%s: %dx%d, %v; want %dx%d", name, frame.Width, frame.Height, err, file.Width, file.Height)
			continue
		}
		most := 0 // of rounding: how inks become colours, and how 16 bits become 8
		if strings.Contains(name, "cmyk") || strings.Contains(name, "ycck") || strings.HasPrefix(name, "deep") && strings.HasSuffix(name, ".tif") {
			most = 1
		}
		for i := 0; i < len(frame.Pixels); i += 3 {
			b, g, r := int(frame.Pixels[i]), int(frame.Pixels[i+1]), int(frame.Pixels[i+2])
			want := file.Pixels[i:]
			if max(r-int(want[0]), int(want[0])-r, g-int(want[1]), int(want[1])-g, b-int(want[2]), int(want[2])-b) > most {
				t.Errorf("%s: pixel %d is %d, %d, %d, Pillow reads %d", name, i/3, r, g, b, want[:3])
				break
			}
		}
	}
}

// TestCameraAndFileAreOne: a frame that was saved without loss comes back bit for bit, so that training meets the
// pixels that the line meets.
func TestCameraAndFileAreOne(t *testing.T) {
	frame := make([]byte, 3*37*23)
	for i := range frame {
		frame[i] = byte(i * i >> 3)
	}
	mat, err := gocv.NewMatFromBytes(23, 37, gocv.MatTypeCV8UC3, frame)
	if err != nil {
		t.Fatal(err)
	}
	defer mat.Close()
	for _, ending := range []gocv.FileExt{".png", ".bmp", ".tiff"} {
		file, err := gocv.IMEncode(ending, mat)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(file.GetBytes())
		if err != nil || !bytes.Equal(got.Pixels, frame) {
			t.Errorf("%s: %v, or other pixels", ending, err)
		}
		file.Close()
	}
}

// TestOddPictures: palettes become colours, a picture without pixels is refused.
func TestOddPictures(t *testing.T) {
	palette := image.NewPaletted(image.Rect(0, 0, 5, 4), color.Palette{color.RGBA{10, 20, 30, 255}, color.RGBA{200, 100, 50, 255}})
	palette.SetColorIndex(1, 0, 1)
	var file bytes.Buffer
	if err := png.Encode(&file, palette); err != nil {
		t.Fatal(err)
	}
	frame, err := Decode(file.Bytes())
	if err != nil || !bytes.Equal(frame.Pixels[:6], []byte{30, 20, 10, 50, 100, 200}) {
		t.Errorf("palette: %v, %v", frame.Pixels[:min(6, len(frame.Pixels))], err)
	}
	none := bytes.Clone(file.Bytes())
	binary.BigEndian.PutUint32(none[16:], 0)
	binary.BigEndian.PutUint32(none[29:], crc32.ChecksumIEEE(none[12:29]))
	if _, err := Decode(none); err == nil {
		t.Error("a picture of no width was taken")
	}
}
