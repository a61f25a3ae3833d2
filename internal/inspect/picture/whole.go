package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
)

var errCut = errors.New("is cut off: the file ends in the middle of the picture")

// whole refuses a JPEG or PNG that ends before its end mark. The decoders fill the missing rows with
// grey and report success, and grey rows would then be judged as if they were the part.
func whole(data []byte) error {
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xd8")):
		return wholeJPEG(data)
	case bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")):
		return wholePNG(data)
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
				return errCut
			}
			i += 2 + int(binary.BigEndian.Uint16(data[i+2:]))
		}
	}
	return errCut
}

// wholePNG walks the chunks until the end chunk.
func wholePNG(data []byte) error {
	for i := 8; i+12 <= len(data); {
		next := i + 12 + int(binary.BigEndian.Uint32(data[i:]))
		if next > len(data) {
			return errCut
		}
		if string(data[i+4:i+8]) == "IEND" {
			return nil
		}
		i = next
	}
	return errCut
}
