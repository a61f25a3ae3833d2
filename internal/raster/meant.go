package raster

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// meant refuses what OpenCV would read otherwise than it was meant, or whose end nobody checks: other forms of
// files, which some of its decoders know, and the two below.
func meant(data []byte) error {
	if order := orderOf(data); order != nil {
		for tag := range directory(data, order) {
			if tag == 338 { // ExtraSamples: libtiff multiplies the colours by them
				return errors.New("is a TIFF with transparency, which would darken its colours: save it without")
			}
		}
		return nil
	}
	for _, start := range []string{"\xff\xd8", "\x89PNG\r\n\x1a\n", "BM"} {
		if bytes.HasPrefix(data, []byte(start)) {
			return nil
		}
	}
	if bytes.HasPrefix(data, []byte("RIFF")) && bytes.HasPrefix(data[8:], []byte("WEBP")) {
		if turnedWebP(data) {
			return errors.New("is a WebP that is to be shown turned, which is only read from other files: turn the pixels themselves")
		}
		return nil
	}
	return errors.New("is no JPEG, PNG, BMP, TIFF or WebP")
}

// orderOf is the byte order of a TIFF, nil for all else.
func orderOf(data []byte) binary.ByteOrder {
	switch {
	case bytes.HasPrefix(data, []byte("II*\x00")):
		return binary.LittleEndian
	case bytes.HasPrefix(data, []byte("MM\x00*")):
		return binary.BigEndian
	}
	return nil
}

// turnedWebP tells whether the EXIF chunk of a whole WebP has another orientation than 1, tag 274 of the TIFF in it.
func turnedWebP(data []byte) bool {
	for i := uint64(12); i+8 <= uint64(len(data)); {
		size := uint64(binary.LittleEndian.Uint32(data[i+4:]))
		if string(data[i:i+4]) == "EXIF" {
			exif := data[i+8 : min(i+8+size, uint64(len(data)))]
			exif = bytes.TrimPrefix(exif, []byte("Exif\x00\x00"))
			if order := orderOf(exif); order != nil {
				for tag, value := range directory(exif, order) {
					if tag == 274 && value != 1 {
						return true
					}
				}
			}
		}
		i += 8 + size + size%2
	}
	return false
}
