package recipe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"linectl/internal/inspect/padim"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/part"
)

// Files of numbers begin with eight bytes that say what they are and some counts as uint32; then come the
// numbers, float32 or int32, everything little endian.
const (
	bankMagic  = "LINEBANK" // rows, numbers a row; the vectors; then, where it is known, the picture and cell that each came from
	gaussMagic = "LINEGAUS" // width, height, channels kept; these; the means; the whitening triangles
	mapsMagic  = "LINEMAPS" // maps, width, height; the cells
	meansMagic = "LINEMEAN" // rows, numbers a row; the rows
)

type numbers interface{ ~float32 | ~int32 }

// add32 appends values of 32 bits.
func add32[T numbers](data []byte, values ...T) []byte {
	for _, v := range values {
		switch v := any(v).(type) {
		case float32:
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		case int32:
			data = binary.LittleEndian.AppendUint32(data, uint32(v))
		}
	}
	return data
}

// floats takes n numbers, which must be finite, from the front of data.
func floats(data *[]byte, n int) ([]float32, error) {
	values := make([]float32, n)
	for i := range values {
		v := math.Float32frombits(binary.LittleEndian.Uint32((*data)[4*i:]))
		if !finite(float64(v)) {
			return nil, fmt.Errorf("number %d is not finite", i)
		}
		values[i] = v
	}
	*data = (*data)[4*n:]
	return values, nil
}

// ints takes n numbers from the front of data.
func ints(data *[]byte, n int) []int32 {
	values := make([]int32, n)
	for i := range values {
		values[i] = int32(binary.LittleEndian.Uint32((*data)[4*i:]))
	}
	*data = (*data)[4*n:]
	return values
}

// header takes the eight bytes and the counts, none of which may be above most.
func header(data *[]byte, magic, what string, counts int, most uint32) ([]int, error) {
	if len(*data) < len(magic)+4*counts || string((*data)[:len(magic)]) != magic {
		return nil, errors.New("is not " + what)
	}
	*data = (*data)[len(magic):]
	result := make([]int, counts)
	for i := range result {
		n := binary.LittleEndian.Uint32((*data)[4*i:])
		if n == 0 || n > most {
			return nil, fmt.Errorf("announces %d, which is out of range", n)
		}
		result[i] = int(n)
	}
	*data = (*data)[4*counts:]
	return result, nil
}

const mostCount = 1 << 24

func encodeBank(b patchcore.Bank) []byte {
	data := make([]byte, 0, len(bankMagic)+8+4*len(b.Vectors)+8*len(b.Origin))
	data = append(data, bankMagic...)
	data = add32(data, int32(b.Rows), int32(b.Dim))
	data = add32(data, b.Vectors...)
	for _, o := range b.Origin {
		data = add32(data, o.Picture, o.Cell)
	}
	return data
}

func parseBank(data []byte) (patchcore.Bank, error) {
	counts, err := header(&data, bankMagic, "a memory bank", 2, mostCount)
	if err != nil {
		return patchcore.Bank{}, err
	}
	b := patchcore.Bank{Rows: counts[0], Dim: counts[1]}
	size := 4 * uint64(b.Rows) * uint64(b.Dim)
	if got := uint64(len(data)); got != size && got != size+8*uint64(b.Rows) {
		return patchcore.Bank{}, fmt.Errorf("announces %d vectors of %d numbers and holds %d bytes", b.Rows, b.Dim, len(data))
	}
	if b.Vectors, err = floats(&data, b.Rows*b.Dim); err != nil {
		return patchcore.Bank{}, err
	}
	if len(data) > 0 {
		b.Origin = make([]patchcore.Origin, b.Rows)
		for i := range b.Origin {
			from := ints(&data, 2)
			b.Origin[i] = patchcore.Origin{Picture: from[0], Cell: from[1]}
		}
	}
	return b, nil
}

func encodeMeans(m patchcore.Means) []byte {
	return add32(add32([]byte(meansMagic), int32(m.Rows), int32(m.Dim)), m.Vectors...)
}

func parseMeans(data []byte) (patchcore.Means, error) {
	counts, err := header(&data, meansMagic, "a file of mean patches", 2, mostCount)
	if err != nil {
		return patchcore.Means{}, err
	}
	m := patchcore.Means{Rows: counts[0], Dim: counts[1]}
	if uint64(len(data)) != 4*uint64(m.Rows)*uint64(m.Dim) {
		return patchcore.Means{}, fmt.Errorf("announces %d rows of %d numbers and holds %d bytes", m.Rows, m.Dim, len(data))
	}
	m.Vectors, err = floats(&data, m.Rows*m.Dim)
	return m, err
}

func encodeGauss(m *padim.Model) []byte {
	data := append([]byte(gaussMagic), make([]byte, 0, 12+4*(len(m.Dims)+len(m.Mean)+len(m.Whiten)))...)
	data = add32(data, int32(m.Width), int32(m.Height), int32(m.Dim()))
	data = add32(data, m.Dims...)
	data = add32(data, m.Mean...)
	return add32(data, m.Whiten...)
}

func parseGauss(data []byte) (*padim.Model, error) {
	counts, err := header(&data, gaussMagic, "a PaDiM model", 3, 1<<14)
	if err != nil {
		return nil, err
	}
	m := &padim.Model{Width: counts[0], Height: counts[1]}
	cells, dim := uint64(counts[0])*uint64(counts[1]), uint64(counts[2])
	// At most 2^56 bytes: no overflow.
	if uint64(len(data)) != 4*(dim+cells*dim+cells*(dim*(dim+1)/2)) {
		return nil, fmt.Errorf("announces %dx%d cells of %d numbers and holds %d bytes", counts[0], counts[1], dim, len(data))
	}
	m.Dims = ints(&data, int(dim))
	if m.Mean, err = floats(&data, int(cells*dim)); err != nil {
		return nil, fmt.Errorf("means: %w", err)
	}
	if m.Whiten, err = floats(&data, len(data)/4); err != nil {
		return nil, fmt.Errorf("whitening: %w", err)
	}
	return m, m.Check()
}

// encodeMaps writes the held-out maps of pictures: all of one size, or none at all.
func encodeMaps(pictures []Picture) ([]byte, error) {
	if len(pictures) == 0 || len(pictures[0].Map.Cells) == 0 {
		return nil, nil
	}
	size := pictures[0].Map
	data := add32([]byte(mapsMagic), int32(len(pictures)), int32(size.Width), int32(size.Height))
	for _, p := range pictures {
		if p.Map.Width != size.Width || p.Map.Height != size.Height || len(p.Map.Cells) != size.Width*size.Height {
			return nil, fmt.Errorf("the map of %s is of %dx%d cells, others of %dx%d", p.File, p.Map.Width, p.Map.Height, size.Width, size.Height)
		}
		data = add32(data, p.Map.Cells...)
	}
	return data, nil
}

func parseMaps(data []byte) ([]part.Map, error) {
	counts, err := header(&data, mapsMagic, "a file of maps", 3, mostCount)
	if err != nil {
		return nil, err
	}
	n, width, height := counts[0], counts[1], counts[2]
	if width > 1<<14 || height > 1<<14 || uint64(len(data)) != 4*uint64(n)*uint64(width)*uint64(height) {
		return nil, fmt.Errorf("announces %d maps of %dx%d cells and holds %d bytes", n, width, height, len(data))
	}
	maps := make([]part.Map, n)
	for i := range maps {
		cells, err := floats(&data, width*height)
		if err != nil {
			return nil, fmt.Errorf("map %d: %w", i, err)
		}
		maps[i] = part.Map{Width: width, Height: height, Cells: cells}
	}
	return maps, nil
}
