package store

import (
	"encoding/hex"
	"math/bits"

	"linectl/internal/part"
)

const hashSide = 16

// pictureHash is the difference hash of a picture (Krawetz, "Kind of Like That", 2013): of the picture as 17 x 16
// grey means each bit tells whether the next one to the right is brighter, here by more than a grey level, so that
// noise in a plain background says nothing. The same picture in another size or file format differs in a few bits.
type pictureHash [hashSide * hashSide / 8]byte

func (h pictureHash) String() string { return hex.EncodeToString(h[:]) }

// distance is the number of bits that differ, 0 to 256.
func (h pictureHash) distance(other pictureHash) (n int) {
	for i := range h {
		n += bits.OnesCount8(h[i] ^ other[i])
	}
	return n
}

// hashOf is the hash of a frame with pixels.
func hashOf(f part.Frame) (h pictureHash) {
	const columns = hashSide + 1
	for row := range hashSide {
		var sums, counts [columns]int
		for y := row * f.Height / hashSide; y < max((row+1)*f.Height/hashSide, row*f.Height/hashSide+1); y++ {
			line := f.Pixels[3*y*f.Width : 3*(y+1)*f.Width]
			for column := range columns {
				from := column * f.Width / columns
				to := max((column+1)*f.Width/columns, from+1)
				for i := 3 * from; i < 3*to; i += 3 { // ITU-R BT.601, in 1/256
					sums[column] += 29*int(line[i]) + 150*int(line[i+1]) + 77*int(line[i+2])
				}
				counts[column] += to - from
			}
		}
		for column := range hashSide {
			n, m := counts[column], counts[column+1]
			if sums[column+1]*n-sums[column]*m > 256*n*m {
				bit := row*hashSide + column
				h[bit/8] |= 1 << (bit % 8)
			}
		}
	}
	return h
}
