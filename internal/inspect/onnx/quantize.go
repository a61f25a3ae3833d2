package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"linectl/internal/inspect/onnx/format"
)

// Range is what the numbers of a tensor were seen to lie between.
type Range struct{ Low, High float32 }

// Include widens the range to hold a number, and zero, which 8 bits must hold exactly for the sake of padding.
func (r *Range) Include(v float32) { r.Low, r.High = min(r.Low, v), max(r.High, v) }

// leastQuantized is the operator set from which on weights may have a scale for each channel.
const leastQuantized = 13

// convolution is one that can be computed in 8 bits: its weights are constants.
type convolution struct {
	node    *format.NodeProto
	output  string // what is rounded: what it makes, or what the activation after it makes
	shape   []int64
	weights []float32
	bias    []float32 // nil where it has none
}

// convolutions finds those that are to be computed in 8 bits. One that reads the picture is left as it is: of a part
// with little contrast 8 bits would lose the most there. So is one that makes what the network gives, whose result is
// wanted in float32.
func (m *Model) convolutions() []convolution {
	users, given := m.users(), m.Outputs()
	var all []convolution
	for _, node := range m.graph.Node {
		if node.GetOpType() != "Conv" || len(node.Input) < 2 || node.Input[0] == m.graph.Input[0].GetName() {
			continue
		}
		c := convolution{node: node, output: node.Output[0]}
		if c.shape, c.weights = m.constant(node.Input[1]); len(c.weights) == 0 {
			continue
		}
		if len(node.Input) > 2 && node.Input[2] != "" {
			if _, c.bias = m.constant(node.Input[2]); len(c.bias) != int(c.shape[0]) {
				continue
			}
		}
		if next := users[c.output]; len(next) == 1 && (next[0].GetOpType() == "Relu" || next[0].GetOpType() == "Clip") {
			c.output = next[0].Output[0]
		}
		if !slices.Contains(given, node.Output[0]) && !slices.Contains(given, c.output) {
			all = append(all, c)
		}
	}
	return all
}

// users tells which nodes take a tensor.
func (m *Model) users() map[string][]*format.NodeProto {
	users := map[string][]*format.NodeProto{}
	for _, node := range m.graph.Node {
		for _, name := range uses(node) {
			users[name] = append(users[name], node)
		}
	}
	return users
}

// constant reads a tensor of float32 or float16 that the file holds; nil where it is none.
func (m *Model) constant(name string) (shape []int64, values []float32) {
	if made := m.made[name]; made != nil && made.GetOpType() == "Cast" && len(made.Input) == 1 {
		name = made.Input[0]
	}
	for _, t := range m.graph.Initializer {
		if t.GetName() == name {
			return t.GetDims(), reals(t)
		}
	}
	return nil, nil
}

// reals reads float32 and float16; nil is another type.
func reals(t *format.TensorProto) []float32 {
	raw := t.GetRawData()
	switch format.TensorProto_DataType(t.GetDataType()) {
	case format.TensorProto_FLOAT:
		if len(raw) == 0 {
			return t.GetFloatData()
		}
		values := make([]float32, len(raw)/4)
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		return values
	case format.TensorProto_FLOAT16:
		values := make([]float32, len(raw)/2)
		for i := range values {
			values[i] = Half(binary.LittleEndian.Uint16(raw[2*i:]))
		}
		return values
	}
	return nil
}

// Half turns an IEEE 754 binary16 into a float32, exactly.
func Half(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&0x3ff)
	switch exponent {
	case 0:
		v := float32(fraction) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
}

// Rounded names the tensors whose ranges Quantize asks for: what goes into convolutions and what comes out of them.
func (m *Model) Rounded() []string {
	var names []string
	for _, c := range m.convolutions() {
		for _, name := range []string{c.node.Input[0], c.output} {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// Watch adds tensors to the outputs.
func (m *Model) Watch(names []string) {
	there := m.Outputs()
	for _, name := range names {
		if !slices.Contains(there, name) {
			m.graph.Output = append(m.graph.Output, &format.ValueInfoProto{Name: new(name), Type: real()})
		}
	}
}

// Quantize rewrites the network so that its convolutions are computed in whole numbers of 8 bits: weights with
// signs and a scale for each channel, activations without signs on the ranges that were seen. Around each
// convolution stand QuantizeLinear and DequantizeLinear, which ONNX Runtime joins with it. What the network
// gives stays float32.
func (m *Model) Quantize(ranges map[string]Range) error {
	if m.opset() < leastQuantized {
		return fmt.Errorf("the network uses operator set %d; 8 bits need %d or newer", m.opset(), leastQuantized)
	}
	all := m.convolutions()
	if len(all) == 0 {
		return errors.New("the network has no convolution that could be")
	}
	q := &quantizer{Model: m, ranges: ranges, rounded: map[string]string{}, scale: map[string]float32{}}
	// A maximum of rounded numbers is one of them: before and after it the grid is the same, and nothing is rounded twice.
	for _, node := range m.graph.Node {
		if node.GetOpType() == "MaxPool" {
			if before, ok := ranges[node.Input[0]]; ok {
				ranges[node.Output[0]] = before
			}
		}
	}
	convolutions := map[*format.NodeProto]convolution{}
	for _, c := range all {
		convolutions[c.node] = c
		for _, name := range []string{c.node.Input[0], c.output} {
			if _, ok := ranges[name]; !ok {
				return fmt.Errorf("the range of %q is not known", name)
			}
			q.rounded[name] = ""
		}
	}
	nodes := m.graph.Node
	m.graph.Node = nil
	for _, node := range nodes {
		for i, name := range node.Input {
			if q.rounded[name] != "" {
				node.Input[i] = q.rounded[name]
			}
		}
		if c, ok := convolutions[node]; ok {
			q.convolve(c)
		}
		m.graph.Node = append(m.graph.Node, node)
		for _, name := range node.Output {
			q.round(name)
		}
	}
	if err := m.check(); err != nil {
		return err
	}
	return m.Cut(m.Outputs())
}

// quantizer writes the nodes and constants of 8 bits.
type quantizer struct {
	*Model
	ranges  map[string]Range
	rounded map[string]string  // a tensor's rounded form; "" before it is made
	scale   map[string]float32 // of a rounded form
}

// round adds the rounded form of a tensor that is there now, if it is wanted.
func (q *quantizer) round(name string) {
	if at, ok := q.rounded[name]; !ok || at != "" {
		return
	}
	r := q.ranges[name]
	r.Include(0)
	scale := max((r.High-r.Low)/255, 1e-12)
	zero := byte(math.Round(float64(-r.Low / scale)))
	q.add(name+".scale", format.TensorProto_FLOAT, binary.LittleEndian.AppendUint32(nil, math.Float32bits(scale)))
	q.add(name+".zero", format.TensorProto_UINT8, []byte{zero})
	grid := []string{name + ".scale", name + ".zero"}
	q.node("QuantizeLinear", name+".u8", append([]string{name}, grid...))
	q.node("DequantizeLinear", name+".rounded", append([]string{name + ".u8"}, grid...))
	q.rounded[name] = name + ".rounded"
	q.scale[name+".rounded"] = scale
}

// convolve gives a convolution, whose input is rounded already, weights of 8 and a bias of 32 bits.
func (q *quantizer) convolve(c convolution) {
	node := c.node
	name := node.Output[0]
	input := q.scale[node.Input[0]]
	channels := int(c.shape[0])
	each := len(c.weights) / channels
	weights := make([]byte, len(c.weights))
	scales := make([]float32, channels)
	for channel := range channels {
		own := c.weights[channel*each : (channel+1)*each]
		var most float32
		for _, w := range own {
			most = max(most, w, -w)
		}
		scale := max(most/127, 1e-12)
		if c.bias != nil { // which must fit into 32 bits
			scale = max(scale, float32(math.Abs(float64(c.bias[channel]))/float64(input)/(1<<30)))
		}
		scales[channel] = scale
		for i, w := range own {
			weights[channel*each+i] = byte(int8(math.RoundToEven(float64(w / scale))))
		}
	}
	q.add(name+".w8", format.TensorProto_INT8, weights, c.shape...)
	q.channels(name+".w", name+".w8", scales)
	node.Input[1] = name + ".w"
	if c.bias == nil {
		return
	}
	bias := make([]byte, 0, 4*channels)
	for channel, b := range c.bias {
		scales[channel] *= input
		bias = binary.LittleEndian.AppendUint32(bias, uint32(int32(math.RoundToEven(float64(b)/float64(scales[channel])))))
	}
	q.add(name+".b32", format.TensorProto_INT32, bias, int64(channels))
	q.channels(name+".b", name+".b32", scales)
	node.Input[2] = name + ".b"
}

// channels makes real numbers of whole ones, with a scale for each channel and zero as zero.
func (q *quantizer) channels(name, whole string, scales []float32) {
	raw := make([]byte, 0, 4*len(scales))
	for _, s := range scales {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(s))
	}
	q.add(name+".scale", format.TensorProto_FLOAT, raw, int64(len(scales)))
	q.node("DequantizeLinear", name, []string{whole, name + ".scale"},
		&format.AttributeProto{Name: new("axis"), Type: format.AttributeProto_INT.Enum(), I: new(int64(0))})
}

// add adds a constant; without dimensions it is a single number.
func (q *quantizer) add(name string, kind format.TensorProto_DataType, raw []byte, dims ...int64) {
	q.graph.Initializer = append(q.graph.Initializer, &format.TensorProto{Name: new(name), DataType: new(int32(kind)), Dims: dims, RawData: raw})
}

func (q *quantizer) node(operation, output string, inputs []string, attributes ...*format.AttributeProto) {
	q.graph.Node = append(q.graph.Node, &format.NodeProto{OpType: new(operation), Name: new(output), Input: inputs, Output: []string{output}, Attribute: attributes})
}
