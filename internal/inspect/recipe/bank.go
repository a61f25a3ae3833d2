package recipe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"linectl/internal/inspect/patchcore"
)

// The bank's file: eight bytes that say what it is, rows and numbers a row as uint32, then the vectors
// as float32, everything little endian.
const bankMagic = "LINEBANK"

func encodeBank(b patchcore.Bank) []byte {
	data := make([]byte, 0, len(bankMagic)+8+4*len(b.Vectors))
	data = append(data, bankMagic...)
	data = binary.LittleEndian.AppendUint32(data, uint32(b.Rows))
	data = binary.LittleEndian.AppendUint32(data, uint32(b.Dim))
	for _, v := range b.Vectors {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return data
}

func parseBank(data []byte) (patchcore.Bank, error) {
	if len(data) < len(bankMagic)+8 || string(data[:len(bankMagic)]) != bankMagic {
		return patchcore.Bank{}, errors.New("is not a memory bank")
	}
	data = data[len(bankMagic):]
	rows, dim := uint64(binary.LittleEndian.Uint32(data)), uint64(binary.LittleEndian.Uint32(data[4:]))
	data = data[8:]
	if rows == 0 || dim == 0 || rows > 1<<24 || dim > 1<<16 || uint64(len(data)) != 4*rows*dim {
		return patchcore.Bank{}, fmt.Errorf("announces %d vectors of %d numbers and holds %d bytes", rows, dim, len(data))
	}
	b := patchcore.Bank{Rows: int(rows), Dim: int(dim), Vectors: make([]float32, rows*dim)}
	for i := range b.Vectors {
		v := math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		if v != v || math.IsInf(float64(v), 0) {
			return patchcore.Bank{}, fmt.Errorf("vector %d holds a number that is not finite", i/b.Dim)
		}
		b.Vectors[i] = v
	}
	return b, nil
}
