// Package weights reads the files in which others publish the weights of networks, and builds the networks
// that it knows from them. It runs nothing that a file contains: of Python's pickles it understands tensors
// and dictionaries, and refuses every other thing by its name.
package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"linectl/internal/inspect/onnx"
)

// Bounds of what is read.
const (
	maxFile   = 1 << 30
	maxHeader = 8 << 20 // of a pickle or a JSON header; that of a WideResNet-101 has 100 kB
	maxDims   = 8
)

// Tensor is an array of numbers, row by row.
type Tensor struct {
	Shape  []int
	Values []float32
}

// Dict is what a file of weights holds, by name.
type Dict map[string]Tensor

// Parse reads the content of a .pth file of PyTorch, in its form since 1.6 (a zip) or the older one, or of a .safetensors
// file. Which one it is is seen from the content.
func Parse(data []byte) (Dict, error) {
	switch {
	case bytes.HasPrefix(data, []byte("PK\x03\x04")):
		return parseZip(data)
	case len(data) > 1 && data[0] == opProto:
		return parseLegacy(data)
	case len(data) > 8 && data[8] == '{':
		return parseSafetensors(data)
	}
	return nil, errors.New("this is neither a .pth file of PyTorch nor a .safetensors file")
}

// kind is how a file stores a number.
type kind struct {
	size   int
	decode func([]byte) float32
}

var (
	float64s  = kind{8, func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) }}
	float32s  = kind{4, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }}
	float16s  = kind{2, func(b []byte) float32 { return onnx.Half(binary.LittleEndian.Uint16(b)) }}
	bfloat16s = kind{2, func(b []byte) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16) }}
	int64s    = kind{8, func(b []byte) float32 { return float32(int64(binary.LittleEndian.Uint64(b))) }}
	int32s    = kind{4, func(b []byte) float32 { return float32(int32(binary.LittleEndian.Uint32(b))) }}
)

// count multiplies the sizes of a shape and refuses one that no file could hold.
func count(shape []int) (int, error) {
	if len(shape) > maxDims {
		return 0, fmt.Errorf("a tensor has %d dimensions; at most %d are read", len(shape), maxDims)
	}
	n := 1
	for _, d := range shape {
		if d < 0 || d > maxFile || n*max(d, 1) > maxFile {
			return 0, fmt.Errorf("a tensor has the shape %v; that is more than a file holds", shape)
		}
		n *= d
	}
	return n, nil
}

// strided reads a tensor out of a storage of numbers; offset and strides are in numbers.
func strided(storage []byte, k kind, offset int, shape, strides []int) (Tensor, error) {
	n, err := count(shape)
	if err != nil {
		return Tensor{}, err
	}
	if len(strides) != len(shape) || offset < 0 || offset > len(storage) {
		return Tensor{}, fmt.Errorf("a tensor of shape %v has the strides %v", shape, strides)
	}
	held := len(storage) / k.size
	last := offset
	for i, d := range shape {
		if strides[i] < 0 || strides[i] > held {
			return Tensor{}, fmt.Errorf("a tensor of shape %v has the strides %v", shape, strides)
		}
		last += max(d-1, 0) * strides[i]
	}
	// A stride of 0 repeats numbers: the tensor may not be larger than what stores it.
	if n > 0 && (last >= held || n > held) {
		return Tensor{}, fmt.Errorf("a tensor of shape %v does not fit into its storage of %d numbers", shape, held)
	}
	t := Tensor{Shape: shape, Values: make([]float32, n)}
	index := make([]int, len(shape))
	at := offset
	for i := range t.Values {
		t.Values[i] = k.decode(storage[at*k.size:])
		for d := len(shape) - 1; d >= 0; d-- {
			if index[d]++; index[d] < shape[d] {
				at += strides[d]
				break
			}
			at -= (shape[d] - 1) * strides[d]
			index[d] = 0
		}
	}
	return t, nil
}
