package onnx

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"linectl/internal/inspect/onnx/format"
)

// residual is a network whose second and third convolutions can be computed in 8 bits: the first reads the picture.
func residual() *Graph {
	var g Graph
	g.Input("image", 0, 3, 0, 0)
	g.Float32s("w1", slices.Repeat([]float32{0.5}, 4*3), 4, 3, 1, 1)
	g.Float32s("w2", []float32{1, -2, 0, 0.5, 1e-3, 1e-3, -1e-3, 0, 0, 0, 0, 0, 3, 3, 3, 3}, 4, 4, 1, 1)
	g.Float32s("b2", []float32{0.5, -0.5, 7, 0}, 4)
	g.Float32s("w3", slices.Repeat([]float32{-0.25}, 4*4), 4, 4, 1, 1)
	g.Node("Conv", "c1", []string{"image", "w1"}, Ints("strides", 4, 4))
	g.Node("Relu", "r1", []string{"c1"})
	g.Node("Conv", "c2", []string{"r1", "w2", "b2"})
	g.Node("Relu", "r2", []string{"c2"})
	g.Node("MaxPool", "pooled", []string{"r2"}, Ints("kernel_shape", 1, 1))
	g.Node("Conv", "c3", []string{"pooled", "w3"})
	g.Node("Add", "sum", []string{"c3", "r1"})
	g.Node("Relu", "out", []string{"sum"})
	g.Output("out", 0, 4, 0, 0)
	return &g
}

func read(t testing.TB, data []byte) *Model {
	t.Helper()
	m, err := Read(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var seen = map[string]Range{"r1": {0, 2}, "r2": {0, 5.1}, "pooled": {0, 99}, "c3": {-1, 1}}

func TestQuantize(t *testing.T) {
	m := read(t, residual().Encode())
	if got, want := m.Rounded(), []string{"r1", "r2", "pooled", "c3"}; !slices.Equal(got, want) {
		t.Fatalf("ranges are asked for %v, want %v", got, want)
	}
	m.Watch(m.Rounded())
	if got, want := m.Outputs(), []string{"out", "r1", "r2", "pooled", "c3"}; !slices.Equal(got, want) {
		t.Errorf("watched it gives %v, want %v", got, want)
	}
	var files [2][]byte
	for i := range files {
		m := read(t, residual().Encode())
		if err := m.Quantize(seen); err != nil {
			t.Fatal(err)
		}
		var err error
		if files[i], err = m.Encode(); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("the same network and ranges give other bytes")
	}
	m = read(t, files[0])
	from := map[string][]string{}
	for name, node := range m.made {
		from[name] = node.Input
	}
	for output, want := range map[string][]string{
		"c1":     {"image", "w1"},
		"c2":     {"r1.rounded", "c2.w", "c2.b"},
		"pooled": {"r2.rounded"},
		"c3":     {"pooled.rounded", "c3.w"},
		"sum":    {"c3.rounded", "r1.rounded"},
		"out":    {"sum"},
	} {
		if !slices.Equal(from[output], want) {
			t.Errorf("%s is made of %v, want %v", output, from[output], want)
		}
	}
	constants := map[string]*format.TensorProto{}
	for _, c := range m.graph.Initializer {
		constants[c.GetName()] = c
	}
	if constants["w2"] != nil || constants["w3"] != nil || constants["w1"] == nil {
		t.Error("the weights in float32 are still there, or those of the first convolution are not")
	}
	scale := func(name string) []float32 { return reals(constants[name]) }
	if a, b := scale("r2.scale"), scale("pooled.scale"); a[0] != b[0] || math.Abs(float64(a[0])-5.1/255) > 1e-7 {
		t.Errorf("a maximum lies on another grid than what it is taken of: %v, %v", a, b)
	}
	if zero := constants["c3.zero"].RawData; len(zero) != 1 || zero[0] != 127 && zero[0] != 128 {
		t.Errorf("zero of -1 to 1 is %v", zero)
	}
	// Each channel of weights spans all 8 bits, and what they stand for is within half a step.
	weights, scales := constants["c2.w8"], scale("c2.w.scale")
	want := reals(&format.TensorProto{DataType: new(int32(Float32)), FloatData: []float32{1, -2, 0, 0.5, 1e-3, 1e-3, -1e-3, 0, 0, 0, 0, 0, 3, 3, 3, 3}})
	for i, w := range weights.RawData {
		s := scales[i/4]
		if off := math.Abs(float64(float32(int8(w))*s - want[i])); off > float64(s)/2*1.001 {
			t.Errorf("weight %d is %d steps of %g, want %g", i, int8(w), s, want[i])
		}
	}
	if w := weights.RawData; int8(w[1]) != -127 || int8(w[12]) != 127 {
		t.Errorf("weights %v do not span 8 bits", w)
	}
	// The bias of a channel whose weights are all zero keeps its value.
	biases, steps := constants["c2.b32"].RawData, scale("c2.b.scale")
	for i, want := range []float64{0.5, -0.5, 7, 0} {
		b := int32(uint32(biases[4*i]) | uint32(biases[4*i+1])<<8 | uint32(biases[4*i+2])<<16 | uint32(biases[4*i+3])<<24)
		if got := float64(b) * float64(steps[i]); math.Abs(got-want) > 1e-3 {
			t.Errorf("bias %d is %g, want %g", i, got, want)
		}
	}
}

func TestQuantizeRefuses(t *testing.T) {
	less := map[string]Range{"r1": {0, 2}}
	old := func() *Model {
		p := new(format.ModelProto)
		if err := proto.Unmarshal(residual().Encode(), p); err != nil {
			t.Fatal(err)
		}
		p.OpsetImport[0].Version = new(int64(12))
		data, err := proto.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return read(t, data)
	}
	var plain Graph
	plain.Input("image", 0, 3, 0, 0)
	plain.Node("Relu", "out", []string{"image"})
	plain.Output("out", 0, 3, 0, 0)
	for _, test := range []struct {
		name   string
		model  *Model
		ranges map[string]Range
		want   string
	}{
		{"a range is missing", read(t, residual().Encode()), less, `the range of "r2" is not known`},
		{"old", old(), seen, "operator set 12; 8 bits need 13"},
		{"no convolution", read(t, plain.Encode()), seen, "no convolution"},
	} {
		if err := test.model.Quantize(test.ranges); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

// TestHalf: numbers of binary16, the smallest and the greatest among them.
func TestHalf(t *testing.T) {
	for bits, want := range map[uint16]float32{0: 0, 0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 1: 1.0 / (1 << 24), 0x03ff: 1023.0 / (1 << 24), 0x3555: 0.333251953125} {
		if got := Half(bits); got != want {
			t.Errorf("Half(%#x) = %g, want %g", bits, got, want)
		}
	}
}
