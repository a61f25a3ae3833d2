package onnx

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"linectl/internal/inspect/onnx/format"
)

// Take makes the model one of pictures: a single input [n, 3, height, width] of float32, whatever size it was
// exported for. A network that takes [n, height, width, 3] and turns it around first loses that turn.
// It returns the input's name.
func (m *Model) Take() (input string, err error) {
	constants := map[string]bool{}
	for _, c := range m.graph.Initializer {
		constants[c.GetName()] = true
	}
	// Before IR version 4 constants stood among the inputs as well.
	m.graph.Input = slices.DeleteFunc(m.graph.Input, func(p *format.ValueInfoProto) bool { return constants[p.GetName()] })
	if v := m.proto.GetIrVersion(); v < 4 {
		m.proto.IrVersion = new(int64(4))
	}
	if len(m.graph.Input) != 1 {
		names := make([]string, len(m.graph.Input))
		for i, p := range m.graph.Input {
			names[i] = p.GetName()
		}
		return "", fmt.Errorf("the network has %d inputs (%s); one of pictures is needed", len(names), strings.Join(names, ", "))
	}
	in := m.graph.Input[0]
	tensor := in.GetType().GetTensorType()
	if kind := format.TensorProto_DataType(tensor.GetElemType()); kind != format.TensorProto_FLOAT {
		return "", fmt.Errorf("input %q is of %v; float32 is needed", in.GetName(), kind)
	}
	dims := tensor.GetShape().GetDim()
	if len(dims) != 4 {
		return "", fmt.Errorf("input %q has %d dimensions; [n, 3, height, width] is needed", in.GetName(), len(dims))
	}
	free := func(d *format.TensorShapeProto_Dimension) bool { return d.GetDimValue() <= 0 }
	if dims[1].GetDimValue() != 3 && dims[3].GetDimValue() == 3 {
		if err := m.turn(in); err != nil {
			return "", err
		}
	} else if dims[1].GetDimValue() != 3 && !free(dims[1]) {
		return "", fmt.Errorf("input %q takes %d channels; pictures have 3", in.GetName(), dims[1].GetDimValue())
	}
	in.Type = real(name("n"), size(3), name("height"), name("width"))
	return in.GetName(), nil
}

// turn takes away the Transpose from [n, h, w, 3] that a network begins with.
func (m *Model) turn(in *format.ValueInfoProto) error {
	var first *format.NodeProto
	for _, node := range m.graph.Node {
		if !slices.Contains(uses(node), in.GetName()) {
			continue
		}
		if first != nil || node.GetOpType() != "Transpose" || !slices.Equal(ints(node, "perm"), []int64{0, 3, 1, 2}) {
			return fmt.Errorf("input %q is [n, height, width, 3] and the network computes in that order; export it in the order [n, 3, height, width]", in.GetName())
		}
		first = node
	}
	if first == nil {
		return fmt.Errorf("nothing uses the input %q", in.GetName())
	}
	m.graph.Node = slices.DeleteFunc(m.graph.Node, func(n *format.NodeProto) bool { return n == first })
	delete(m.made, first.Output[0])
	in.Name = new(first.Output[0])
	return nil
}

func ints(node *format.NodeProto, name string) []int64 {
	for _, a := range node.Attribute {
		if a.GetName() == name {
			return a.Ints
		}
	}
	return nil
}

// activations are the operations after which a feature map is complete. A cut before one of them would also
// keep ONNX Runtime from computing it together with the convolution before it.
var activations = []string{"Relu", "LeakyRelu", "PRelu", "Clip", "HardSwish", "Elu", "Selu", "Celu", "Softplus", "Mish", "Gelu", "Swish"}

// Activations lists the tensors that activations make, in the order in which they are computed.
func (m *Model) Activations() []string {
	var names []string
	for _, node := range m.graph.Node {
		if len(node.Output) > 0 && (slices.Contains(activations, node.GetOpType()) || m.gated(node)) {
			names = append(names, node.Output[0])
		}
	}
	return names
}

// gated tells whether a node is the product of x and Sigmoid(x) or HardSigmoid(x), as SiLU and HardSwish are written.
func (m *Model) gated(node *format.NodeProto) bool {
	if node.GetOpType() != "Mul" || len(node.Input) != 2 {
		return false
	}
	for i, name := range node.Input {
		gate := m.made[name]
		if gate != nil && (gate.GetOpType() == "Sigmoid" || gate.GetOpType() == "HardSigmoid") && len(gate.Input) == 1 && gate.Input[0] == node.Input[1-i] {
			return true
		}
	}
	return false
}

// Outputs are the names of what the model gives.
func (m *Model) Outputs() []string {
	var names []string
	for _, p := range m.graph.Output {
		names = append(names, p.GetName())
	}
	return names
}

// Resolve finds the tensor that a layer's name means: a tensor's own name, or a node's, whose first output it is then.
func (m *Model) Resolve(layer string) (string, error) {
	if m.made[layer] != nil {
		return layer, nil
	}
	for _, node := range m.graph.Node {
		if layer != "" && node.GetName() == layer && len(node.Output) > 0 {
			return node.Output[0], nil
		}
	}
	return "", fmt.Errorf("the network has no layer %q%s", layer, m.offer(layer))
}

// offer is the last few activations that could be meant: exporters write "/layer2/layer2.1/relu_1/Relu_output_0" for
// layer2.
func (m *Model) offer(layer string) string {
	all := m.Activations()
	like := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return !strings.Contains(name, layer) })
	if len(like) == 0 {
		like = all
	}
	if len(like) == 0 {
		return ""
	}
	const shown = 6
	what := "; its activations are"
	if len(like) > shown {
		what, like = "; its last activations are", like[len(like)-shown:]
	}
	return fmt.Sprintf("%s %q", what, like)
}

// Cut makes the named tensors the outputs and removes every node and constant that none of them needs.
// What is kept stays as it was; the operator set too.
func (m *Model) Cut(outputs []string) error {
	needed := map[string]bool{}
	m.graph.Output = nil
	for _, name := range outputs {
		if m.made[name] == nil {
			return fmt.Errorf("the network makes no %q", name)
		}
		if needed[name] {
			return fmt.Errorf("%q is named twice", name)
		}
		needed[name] = true
		m.graph.Output = append(m.graph.Output, &format.ValueInfoProto{Name: new(name), Type: real()})
	}
	var kept []*format.NodeProto
	for _, node := range slices.Backward(m.graph.Node) {
		if !slices.ContainsFunc(node.Output, func(name string) bool { return needed[name] }) {
			continue
		}
		for _, name := range uses(node) {
			needed[name] = true
		}
		kept = append(kept, node)
	}
	slices.Reverse(kept)
	m.graph.Node = kept
	m.graph.Initializer = slices.DeleteFunc(m.graph.Initializer, func(t *format.TensorProto) bool { return !needed[t.GetName()] })
	if !needed[m.graph.Input[0].GetName()] {
		return errors.New("the layers do not depend on the picture")
	}
	// Shapes that an exporter noted are those of its own input size.
	m.graph.ValueInfo, m.graph.QuantizationAnnotation, m.proto.TrainingInfo = nil, nil, nil
	return m.constants(finite)
}

// real is the type of a tensor of float32; without dimensions its shape is left to be inferred.
func real(dims ...*format.TensorShapeProto_Dimension) *format.TypeProto {
	tensor := &format.TypeProto_Tensor{ElemType: new(int32(format.TensorProto_FLOAT))}
	if len(dims) > 0 {
		tensor.Shape = &format.TensorShapeProto{Dim: dims}
	}
	return &format.TypeProto{Value: &format.TypeProto_TensorType{TensorType: tensor}}
}

func name(free string) *format.TensorShapeProto_Dimension {
	return &format.TensorShapeProto_Dimension{Value: &format.TensorShapeProto_Dimension_DimParam{DimParam: free}}
}

func size(n int64) *format.TensorShapeProto_Dimension {
	return &format.TensorShapeProto_Dimension{Value: &format.TensorShapeProto_Dimension_DimValue{DimValue: n}}
}
