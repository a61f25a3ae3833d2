package raster

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
)

// fits refuses a file whose header tells of more pixels than are read, before a decoder makes room for them: a
// few kilobytes can claim gigabytes. A header that tells nothing is left to the decoder.
func fits(data []byte) error {
	width, height := claimed(data)
	if width*height > maxPixels || width > maxPixels || height > maxPixels {
		return tooLarge(width, height)
	}
	return nil
}

func tooLarge(width, height uint64) error {
	return fmt.Errorf("is %dx%d; at most %d million pixels are read", width, height, maxPixels>>20)
}

// claimed is the size that a file's header tells; zero where it tells none.
func claimed(data []byte) (width, height uint64) {
	big, little := binary.BigEndian, binary.LittleEndian
	kind := func(at int) string { return string(data[at : at+4]) }
	switch {
	case bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")) && len(data) >= 24:
		return uint64(big.Uint32(data[16:])), uint64(big.Uint32(data[20:]))
	case bytes.HasPrefix(data, []byte("\xff\xd8")):
		return claimedJPEG(data)
	case bytes.HasPrefix(data, []byte("BM")) && len(data) >= 26:
		if little.Uint32(data[14:]) == 12 { // the header of OS/2
			return uint64(little.Uint16(data[18:])), uint64(little.Uint16(data[20:]))
		}
		side := func(at int) uint64 {
			return uint64(max(int64(int32(little.Uint32(data[at:]))), -int64(int32(little.Uint32(data[at:])))))
		}
		return side(18), side(22) // a negative height is a picture from the top
	case bytes.HasPrefix(data, []byte("RIFF")) && len(data) >= 30 && kind(8) == "WEBP":
		switch kind(12) {
		case "VP8 ":
			return uint64(little.Uint16(data[26:]) & 0x3fff), uint64(little.Uint16(data[28:]) & 0x3fff)
		case "VP8L":
			bits := little.Uint32(data[21:])
			return uint64(bits&0x3fff) + 1, uint64(bits>>14&0x3fff) + 1
		case "VP8X":
			return uint64(little.Uint32(data[24:])&0xffffff) + 1, uint64(little.Uint32(data[26:])>>8) + 1
		}
	}
	if order := orderOf(data); order != nil {
		return claimedTIFF(data, order)
	}
	return 0, 0
}

// claimedJPEG finds the start of frame (ITU-T T.81, B.2.2).
func claimedJPEG(data []byte) (width, height uint64) {
	for i := 2; i+9 <= len(data) && data[i] == 0xff; {
		marker := data[i+1]
		switch {
		case marker == 0xff:
			i++
			continue
		case marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc:
			return uint64(binary.BigEndian.Uint16(data[i+7:])), uint64(binary.BigEndian.Uint16(data[i+5:]))
		case marker == 0xda: // pictures begin
			return 0, 0
		}
		i += 2 + int(binary.BigEndian.Uint16(data[i+2:]))
	}
	return 0, 0
}

// claimedTIFF reads the first directory: tags 256 and 257 are width and height.
func claimedTIFF(data []byte, order binary.ByteOrder) (width, height uint64) {
	for tag, value := range directory(data, order) {
		switch tag {
		case 256:
			width = value
		case 257:
			height = value
		}
	}
	return width, height
}

// directory is the tags of a TIFF's first directory with their first values, as far as these lie in the directory
// itself (TIFF 6.0, section 2).
func directory(data []byte, order binary.ByteOrder) iter.Seq2[uint16, uint64] {
	return func(yield func(uint16, uint64) bool) {
		if len(data) < 8 {
			return
		}
		at := uint64(order.Uint32(data[4:]))
		if at+2 > uint64(len(data)) {
			return
		}
		for e := range uint64(order.Uint16(data[at:])) {
			entry := at + 2 + 12*e
			if entry+12 > uint64(len(data)) {
				return
			}
			value := uint64(order.Uint32(data[entry+8:]))
			if order.Uint16(data[entry+2:]) == 3 { // SHORT
				value = uint64(order.Uint16(data[entry+8:]))
			}
			if !yield(order.Uint16(data[entry:]), value) {
				return
			}
		}
	}
}
