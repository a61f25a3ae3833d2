package raster

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"strings"
	"testing"
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
