package raster

import (
	"bytes"
	"encoding/binary"
)

// ErrCut says that a file ends before its picture does: it is still being written, or was cut off.
var ErrCut error = cut("is cut off: the file ends in the middle of the picture")

// cut is one way in which a file ends too early; all of them are ErrCut.
type cut string

func (c cut) Error() string { return string(c) }

// Is makes every cut ErrCut.
func (c cut) Is(target error) bool { return target == ErrCut }

// whole refuses a JPEG, PNG, BMP or WebP that ends too early. The decoders fill missing rows with grey
// and report success, and grey rows would then be judged as if they were the part; only that of TIFF
// refuses by itself.
func whole(data []byte) error {
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xd8")):
		return wholeJPEG(data)
	case bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")):
		return wholePNG(data)
	case bytes.HasPrefix(data, []byte("BM")) && len(data) >= 6:
		if int64(len(data)) < int64(binary.LittleEndian.Uint32(data[2:])) {
			return ErrCut
		}
	case bytes.HasPrefix(data, []byte("RIFF")) && len(data) >= 8: // WebP
		if int64(len(data)) < 8+int64(binary.LittleEndian.Uint32(data[4:])) {
			return ErrCut
		}
	case len(data) < 16:
		return ErrCut // less than any form's header
	}
	return nil
}

// wholeJPEG walks the markers (ITU-T T.81, annex B) until the end of image; what follows it is padding.
func wholeJPEG(data []byte) error {
	for i := 2; i+1 < len(data); {
		if data[i] != 0xff {
			i++ // entropy-coded data
			continue
		}
		switch marker := data[i+1]; {
		case marker == 0xd9: // end of image
			return nil
		case marker == 0xff: // fill byte
			i++
		case marker == 0x00, marker == 0x01, marker >= 0xd0 && marker <= 0xd8: // no length follows
			i += 2
		default:
			if i+4 > len(data) {
				return ErrCut
			}
			i += 2 + int(binary.BigEndian.Uint16(data[i+2:]))
		}
	}
	return ErrCut
}

// wholePNG walks the chunks until the end chunk.
func wholePNG(data []byte) error {
	for i := 8; i+12 <= len(data); {
		next := i + 12 + int(binary.BigEndian.Uint32(data[i:]))
		if next > len(data) {
			return ErrCut
		}
		if string(data[i+4:i+8]) == "IEND" {
			return nil
		}
		i = next
	}
	return ErrCut
}
