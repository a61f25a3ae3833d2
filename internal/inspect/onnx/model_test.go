package onnx

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"linectl/internal/inspect/onnx/format"
)

// classifier is a network with two convolutions, and a head that classifies.
func classifier() *Graph {
	var g Graph
	g.Input("image", 0, 3, 0, 0)
	g.Float32s("w1", slices.Repeat([]float32{0.5}, 4*3), 4, 3, 1, 1)
	g.Float32s("w2", slices.Repeat([]float32{-0.25}, 5*4), 5, 4, 1, 1)
	g.Float32s("head.w", slices.Repeat([]float32{1}, 2*5), 5, 2)
	g.Node("Conv", "c1", []string{"image", "w1"}, Ints("strides", 4, 4))
	g.Node("Relu", "r1", []string{"c1"})
	g.Node("Conv", "c2", []string{"r1", "w2"}, Ints("strides", 2, 2))
	g.Node("Relu", "r2", []string{"c2"})
	g.Node("GlobalAveragePool", "pool", []string{"r2"})
	g.Node("Flatten", "flat", []string{"pool"})
	g.Node("MatMul", "logits", []string{"flat", "head.w"})
	g.Output("logits", 0, 2)
	return &g
}

// changed is the classifier after a change to what its file says.
func changed(t testing.TB, change func(*format.ModelProto)) []byte {
	t.Helper()
	m := new(format.ModelProto)
	if err := proto.Unmarshal(classifier().Encode(), m); err != nil {
		t.Fatal(err)
	}
	change(m)
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestCutRemovesWhatIsNotNeeded(t *testing.T) {
	m, err := Read(classifier().Encode())
	if err != nil {
		t.Fatal(err)
	}
	if input, err := m.Take(); err != nil || input != "image" {
		t.Fatalf("input %q, %v", input, err)
	}
	if got := m.Activations(); !slices.Equal(got, []string{"r1", "r2"}) {
		t.Errorf("activations %v", got)
	}
	for layer, want := range map[string]string{
		"layer9": `the network has no layer "layer9"; its activations are ["r1" "r2"]`,
		"2":      `the network has no layer "2"; its activations are ["r2"]`,
	} {
		if _, err := m.Resolve(layer); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := m.Cut([]string{"r1"}); err != nil {
		t.Fatal(err)
	}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	cut := new(format.ModelProto)
	if err := proto.Unmarshal(data, cut); err != nil {
		t.Fatal(err)
	}
	var made, constants []string
	for _, node := range cut.Graph.Node {
		made = append(made, node.Output...)
	}
	for _, c := range cut.Graph.Initializer {
		constants = append(constants, c.GetName())
	}
	if !slices.Equal(made, []string{"c1", "r1"}) || !slices.Equal(constants, []string{"w1"}) || len(cut.Graph.Output) != 1 || cut.Graph.Output[0].GetName() != "r1" {
		t.Errorf("left are nodes %v, constants %v, outputs %v", made, constants, cut.Graph.Output)
	}
	if got := cut.OpsetImport[0].GetVersion(); got != operatorSet {
		t.Errorf("operator set %d", got)
	}
}

// TestTake: whatever size the network was exported for, the result takes any; pictures in the order of
// height, width, channel lose their turn.
func TestTake(t *testing.T) {
	fixed := func(dims ...int64) []byte {
		return changed(t, func(m *format.ModelProto) {
			var shape []*format.TensorShapeProto_Dimension
			for _, d := range dims {
				shape = append(shape, size(d))
			}
			m.Graph.Input[0].Type = real(shape...)
		})
	}
	turned := changed(t, func(m *format.ModelProto) {
		m.Graph.Input[0] = &format.ValueInfoProto{Name: new("hwc"), Type: real(size(1), size(32), size(32), size(3))}
		m.Graph.Node = append([]*format.NodeProto{{OpType: new("Transpose"), Input: []string{"hwc"}, Output: []string{"image"},
			Attribute: []*format.AttributeProto{{Name: new("perm"), Ints: []int64{0, 3, 1, 2}, Type: format.AttributeProto_INTS.Enum()}}}}, m.Graph.Node...)
	})
	for _, test := range []struct {
		name string
		data []byte
		want string // in the error
	}{
		{"fixed", fixed(1, 3, 224, 224), ""},
		{"turned", turned, ""},
		{"grey", fixed(1, 1, 224, 224), "takes 1 channels"},
		{"flat", fixed(1, 784), "has 2 dimensions"},
		{"height, width, channel to the end", fixed(1, 224, 224, 3), "computes in that order"},
		{"two inputs", changed(t, func(m *format.ModelProto) {
			m.Graph.Input = append(m.Graph.Input, &format.ValueInfoProto{Name: new("mask"), Type: real()})
		}), "2 inputs (image, mask)"},
		{"whole numbers", changed(t, func(m *format.ModelProto) {
			m.Graph.Input[0].GetType().GetTensorType().ElemType = new(int32(format.TensorProto_UINT8))
		}), "UINT8; float32 is needed"},
	} {
		m, err := Read(test.data)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		input, err := m.Take()
		if test.want != "" {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v, want %q", test.name, err, test.want)
			}
			continue
		}
		if err != nil || input != "image" || m.graph.Input[0].GetName() != "image" {
			t.Errorf("%s: input %q, %v", test.name, input, err)
		}
		for i, d := range m.graph.Input[0].GetType().GetTensorType().GetShape().GetDim() {
			if i != 1 && d.GetDimParam() == "" {
				t.Errorf("%s: dimension %d is not free", test.name, i)
			}
		}
	}
}

func TestReadRefuses(t *testing.T) {
	nan := binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(math.NaN())))
	external := func(c *format.TensorProto) {
		c.RawData, c.DataLocation = nil, format.TensorProto_EXTERNAL.Enum()
		c.ExternalData = []*format.StringStringEntryProto{{Key: new("location"), Value: new("/etc/passwd")}}
	}
	inner := func(m *format.ModelProto, c *format.TensorProto) {
		m.Graph.Node[1].Attribute = []*format.AttributeProto{{Name: new("then_branch"), G: &format.GraphProto{Initializer: []*format.TensorProto{c}}}}
	}
	for _, test := range []struct {
		name   string
		change func(*format.ModelProto)
		want   string
	}{
		{"a cycle", func(m *format.ModelProto) { m.Graph.Node[0].Input[0] = "r2" }, "the graph has a cycle"},
		{"a node of itself", func(m *format.ModelProto) { m.Graph.Node[1].Input[0] = "r1" }, "the graph has a cycle"},
		{"made twice", func(m *format.ModelProto) { m.Graph.Node[2].Output[0] = "r1" }, `"r1" is made twice`},
		{"nothing in it", func(m *format.ModelProto) { m.Graph = nil }, "it has no graph"},
		{"no operator set", func(m *format.ModelProto) { m.OpsetImport = nil }, "which operator set"},
		{"absurd shape", func(m *format.ModelProto) { m.Graph.Initializer[0].Dims = []int64{1 << 40, 1 << 40} }, `"w1" have the shape [1099511627776 1099511627776]`},
		{"negative shape", func(m *format.ModelProto) { m.Graph.Initializer[0].Dims = []int64{-4, 3, 1, 1} }, `"w1" have the shape [-4 3 1 1]`},
		{"external weights", func(m *format.ModelProto) { external(m.Graph.Initializer[1]) }, `"w2" lie in another file`},
		{"external weights in a graph inside", func(m *format.ModelProto) {
			c := &format.TensorProto{Name: new("deep")}
			external(c)
			inner(m, c)
		}, `"deep" lie in another file`},
		{"external weights in a function", func(m *format.ModelProto) {
			c := &format.TensorProto{Name: new("deep")}
			external(c)
			m.Functions = []*format.FunctionProto{{Node: []*format.NodeProto{{Name: new("f"), Attribute: []*format.AttributeProto{{T: c}}}}}}
		}, `"deep" lie in another file`},
		{"sparse weights", func(m *format.ModelProto) {
			m.Graph.SparseInitializer = []*format.SparseTensorProto{{Dims: []int64{1 << 40}}}
		}, "sparse weights"},
		{"more parts than a network has", func(m *format.ModelProto) {
			m.Graph.Node[0].Attribute = slices.Repeat([]*format.AttributeProto{{}}, maxParts)
		}, "more than 1048576 parts"},
		{"more levels than a network has", func(m *format.ModelProto) {
			g := &format.GraphProto{}
			for range maxDepth {
				g = &format.GraphProto{Node: []*format.NodeProto{{Attribute: []*format.AttributeProto{{G: g}}}}}
			}
			m.Graph.Node[0].Attribute = []*format.AttributeProto{{G: g}}
		}, "levels deep"},
	} {
		if _, err := Read(changed(t, test.change)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
	whole := classifier().Encode()
	for n := range len(whole) {
		if m, err := Read(whole[:n]); err == nil && m.Cut([]string{"r2"}) == nil {
			t.Fatalf("the first %d of %d bytes are taken for a network", n, len(whole))
		}
	}

	for _, test := range []struct {
		name   string
		change func(*format.ModelProto)
		layers []string
		want   string
	}{
		{"no such layer", func(*format.ModelProto) {}, []string{"r9"}, `makes no "r9"`},
		{"the input", func(*format.ModelProto) {}, []string{"image"}, `makes no "image"`},
		{"one layer twice", func(*format.ModelProto) {}, []string{"r1", "r1"}, "named twice"},
		{"NaN", func(m *format.ModelProto) { copy(m.Graph.Initializer[0].RawData[8:], nan) }, []string{"r1"}, `"w1" hold NaN at place 2`},
		{"infinite", func(m *format.ModelProto) {
			c := m.Graph.Initializer[0]
			c.RawData, c.FloatData = nil, slices.Repeat([]float32{float32(math.Inf(-1))}, 12)
		}, []string{"r1"}, `"w1" hold -Inf at place 0`},
		{"NaN in a graph inside", func(m *format.ModelProto) {
			inner(m, &format.TensorProto{Name: new("deep"), DataType: new(int32(1)), Dims: []int64{1}, RawData: nan})
		}, []string{"r1"}, `"deep" hold NaN`},
		{"a layer without the picture", func(m *format.ModelProto) { m.Graph.Node[0].Input[0] = "w2" }, []string{"r1"}, "do not depend on the picture"},
	} {
		m, err := Read(changed(t, test.change))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if err := m.Cut(test.layers); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
	// A constant that the layer does not need may hold anything.
	m, err := Read(changed(t, func(m *format.ModelProto) { copy(m.Graph.Initializer[2].RawData, nan) }))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Cut([]string{"r1"}); err != nil {
		t.Error(err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(classifier().Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Read(data)
		if err != nil {
			return
		}
		m.Describe()
		m.Numbers("mean")
		m.Take()
		again, err := m.Encode()
		if err != nil {
			return // such as text that is no UTF-8
		}
		if _, err := Read(again); err != nil {
			t.Errorf("what was read and written cannot be read: %v", err)
		}
	})
}

// FuzzCut holds the law of a cut: every node that is left was there, and all that it uses is there.
func FuzzCut(f *testing.F) {
	f.Add(classifier().Encode(), "r1", "r2")
	f.Fuzz(func(t *testing.T, data []byte, a, b string) {
		m, err := Read(data)
		if err != nil {
			return
		}
		if _, err := m.Take(); err != nil {
			return
		}
		before := slices.Clone(m.graph.Node)
		if m.Cut([]string{a, b}) != nil {
			return
		}
		for _, node := range m.graph.Node {
			if !slices.Contains(before, node) {
				t.Errorf("node %q is new", node.GetName())
			}
		}
		if err := m.check(); err != nil {
			t.Errorf("after the cut: %v", err)
		}
	})
}
