// Package golden is for tests against the golden files of tools/parity: it reads them (safetensors, compressed by gzip) and
// knows the device to compute them on.
package golden

import (
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"os"
	"testing"
)

// Device is what golden files are to be computed on: LINECTL_TEST_DEVICE, or the CPU.
func Device() string { return cmp.Or(os.Getenv("LINECTL_TEST_DEVICE"), "cpu") }

// Array is numbers with their shape, row by row.
type Array struct {
	Shape  []int
	Values []float32
}

// Read reads the arrays of a file, by name.
func Read(t *testing.T, path string) map[string]Array {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(unzipped)
	if err != nil {
		t.Fatal(err)
	}
	body := 8 + binary.LittleEndian.Uint64(data)
	var header map[string]json.RawMessage
	if err := json.Unmarshal(data[8:body], &header); err != nil {
		t.Fatal(err)
	}
	arrays := map[string]Array{}
	for name, entry := range header {
		if name == "__metadata__" {
			continue
		}
		var about struct {
			DType   string    `json:"dtype"`
			Shape   []int     `json:"shape"`
			Offsets [2]uint64 `json:"data_offsets"`
		}
		if err := json.Unmarshal(entry, &about); err != nil {
			t.Fatal(err)
		}
		raw := data[body+about.Offsets[0] : body+about.Offsets[1]]
		a := Array{Shape: about.Shape}
		switch about.DType {
		case "F16":
			for ; len(raw) > 0; raw = raw[2:] {
				a.Values = append(a.Values, half(binary.LittleEndian.Uint16(raw)))
			}
		case "F32":
			for ; len(raw) > 0; raw = raw[4:] {
				a.Values = append(a.Values, math.Float32frombits(binary.LittleEndian.Uint32(raw)))
			}
		case "I32":
			for ; len(raw) > 0; raw = raw[4:] {
				a.Values = append(a.Values, float32(int32(binary.LittleEndian.Uint32(raw))))
			}
		default:
			t.Fatalf("%s: %s is of type %s", path, name, about.DType)
		}
		arrays[name] = a
	}
	return arrays
}

// half is a number of IEEE 754 binary16.
func half(bits uint16) float32 {
	exponent, fraction := int(bits>>10&31), float64(bits&1023)
	value := math.Ldexp(1+fraction/1024, exponent-15)
	if exponent == 0 {
		value = math.Ldexp(fraction/1024, -14)
	}
	if bits>>15 != 0 {
		value = -value
	}
	return float32(value)
}
