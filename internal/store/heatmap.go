package store

import (
	"encoding/binary"
	"fmt"
	"math"

	"linectl/internal/part"
)

const (
	cellSteps    = math.MaxUint16 - 1
	cellNoNumber = math.MaxUint16
)

// encodeMap packs an anomaly map into two bytes a cell, linear between its lowest and highest finite
// score: the error is at most (hi-lo)/131068, far below the noise of a score, at half the size. A cell
// that is not finite is kept as "no number".
func encodeMap(m part.Map) (lo, hi float64, cells []byte) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, cell := range m.Cells {
		if v := float64(cell); !math.IsNaN(v) && !math.IsInf(v, 0) {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	if lo > hi {
		lo, hi = 0, 0
	}
	cells = make([]byte, 2*len(m.Cells))
	for i, cell := range m.Cells {
		n := uint16(cellNoNumber)
		if v := float64(cell); v >= lo && v <= hi {
			n = 0
			if hi > lo {
				n = uint16(math.Round((v - lo) / (hi - lo) * cellSteps))
			}
		}
		binary.LittleEndian.PutUint16(cells[2*i:], n)
	}
	return lo, hi, cells
}

// decodeMap unpacks what encodeMap made.
func decodeMap(width, height int, lo, hi float64, cells []byte) (part.Map, error) {
	if width <= 0 || height <= 0 || len(cells)/2/width != height || len(cells) != 2*width*height {
		return part.Map{}, fmt.Errorf("a heatmap of %d x %d cells has %d bytes", width, height, len(cells))
	}
	m := part.Map{Width: width, Height: height, Cells: make([]float32, width*height)}
	for i := range m.Cells {
		if n := binary.LittleEndian.Uint16(cells[2*i:]); n == cellNoNumber {
			m.Cells[i] = float32(math.NaN())
		} else {
			m.Cells[i] = float32(lo + (hi-lo)*float64(n)/cellSteps)
		}
	}
	return m, nil
}
