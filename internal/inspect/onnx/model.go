package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"linectl/internal/inspect/onnx/format"
)

// Bounds of what Read takes. The largest classifiers have some thousand nodes of some ten parts each; a file
// beyond these bounds is no network for a line, and would take the machine's memory before anything could be
// said of it: an empty message takes 2 bytes in a file and 300 in memory, a whole number 1 and 8.
const (
	MaxFile    = 1 << 30
	maxParts   = 1 << 20   // messages and texts
	maxNumbers = 128 << 20 // bytes of whole numbers
	maxDepth   = 100       // of messages in messages
)

// Model is a network that somebody else exported.
type Model struct {
	proto *format.ModelProto
	made  map[string]*format.NodeProto // which node makes a tensor
	graph *format.GraphProto
}

// Read parses a model and checks that its graph can be computed from its input: names are made once and
// before they are used, and all weights lie in the file.
func Read(data []byte) (*Model, error) {
	if len(data) > MaxFile {
		return nil, fmt.Errorf("the file has %d bytes; at most %d are read", len(data), MaxFile)
	}
	if err := new(survey).walk(data, new(format.ModelProto).ProtoReflect().Descriptor(), 0); err != nil {
		return nil, err
	}
	m := &Model{proto: new(format.ModelProto)}
	if err := (proto.UnmarshalOptions{RecursionLimit: maxDepth, DiscardUnknown: true}).Unmarshal(data, m.proto); err != nil {
		return nil, fmt.Errorf("this is no ONNX file: %w", err)
	}
	if m.graph = m.proto.GetGraph(); m.graph == nil || len(m.graph.Node) == 0 {
		return nil, errors.New("this is no ONNX file: it has no graph")
	}
	if m.opset() == 0 {
		return nil, errors.New("the file does not say which operator set it uses")
	}
	return m, m.check()
}

// survey counts what an encoded message would become, without building it.
type survey struct{ parts, numbers int }

func (s *survey) walk(message []byte, of protoreflect.MessageDescriptor, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("the graph lies more than %d levels deep", maxDepth)
	}
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return fmt.Errorf("this is no ONNX file: %w", protowire.ParseError(size))
		}
		value := message[size:]
		size = protowire.ConsumeFieldValue(number, kind, value)
		if size < 0 {
			return fmt.Errorf("this is no ONNX file: %w", protowire.ParseError(size))
		}
		message = value[size:]
		field := of.Fields().ByNumber(number)
		switch {
		case field == nil: // discarded
		case kind == protowire.VarintType:
			s.numbers += size
		case kind != protowire.BytesType: // real numbers, as large in memory
		case field.Message() != nil:
			s.parts++
			content, _ := protowire.ConsumeBytes(value)
			if err := s.walk(content, field.Message(), depth+1); err != nil {
				return err
			}
		case field.Kind() == protoreflect.StringKind || field.Kind() == protoreflect.BytesKind:
			s.parts++
		case field.Kind() != protoreflect.FloatKind && field.Kind() != protoreflect.DoubleKind:
			s.numbers += size
		}
		if s.parts > maxParts || s.numbers > maxNumbers {
			return fmt.Errorf("the graph has more than %d parts or more than %d bytes of whole numbers, which no network for a line has", maxParts, maxNumbers)
		}
	}
	return nil
}

// Encode writes the model; the same model gives the same bytes.
func (m *Model) Encode() ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(m.proto)
}

// opset is the version of the default operator set; 0 where the file names none.
func (m *Model) opset() int64 {
	for _, set := range m.proto.OpsetImport {
		if set.GetDomain() == "" || set.GetDomain() == "ai.onnx" {
			return set.GetVersion()
		}
	}
	return 0
}

// Describe tells who made the model.
func (m *Model) Describe() string {
	text := fmt.Sprintf("operator set %d", m.opset())
	if producer := strings.TrimSpace(m.proto.GetProducerName() + " " + m.proto.GetProducerVersion()); producer != "" {
		text += ", written by " + producer
	}
	return text
}

// Numbers returns three numbers of the model's metadata, as "mean" and "std" are stored by some exporters:
// with commas or spaces between them, in brackets or not. ok is false where the key is missing or reads
// otherwise.
func (m *Model) Numbers(key string) (numbers [3]float32, ok bool) {
	for _, p := range m.proto.MetadataProps {
		if p.GetKey() != key {
			continue
		}
		words := strings.FieldsFunc(p.GetValue(), func(r rune) bool { return strings.ContainsRune(", \t[]()", r) })
		if len(words) == 1 {
			words = []string{words[0], words[0], words[0]}
		}
		if len(words) != 3 {
			return numbers, false
		}
		for i, word := range words {
			v, err := strconv.ParseFloat(word, 32)
			if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
				return numbers, false
			}
			numbers[i] = float32(v)
		}
		return numbers, true
	}
	return numbers, false
}

// check proves that every tensor is made once, before it is used, and that nothing lies outside the file.
func (m *Model) check() error {
	if err := m.constants(whole); err != nil {
		return err
	}
	known := map[string]bool{"": true} // "" stands for an optional input that is left out
	for _, constant := range m.graph.Initializer {
		known[constant.GetName()] = true
	}
	for _, input := range m.graph.Input {
		known[input.GetName()] = true
	}
	m.made = map[string]*format.NodeProto{}
	for _, node := range m.graph.Node {
		for _, name := range uses(node) {
			if !known[name] {
				return fmt.Errorf("node %q (%s) uses %q, which no node before it makes: the graph has a cycle, or a part of it is missing",
					node.GetName(), node.GetOpType(), name)
			}
		}
		for _, name := range node.Output {
			if name == "" {
				continue
			}
			if known[name] {
				return fmt.Errorf("%q is made twice; node %q (%s) is the second", name, node.GetName(), node.GetOpType())
			}
			known[name], m.made[name] = true, node
		}
	}
	return nil
}

// uses lists what a node needs from the graph, for the graphs inside it as well.
func uses(node *format.NodeProto) []string {
	names := slices.Clone(node.Input)
	for _, a := range node.Attribute {
		for _, g := range append(slices.Clone(a.Graphs), a.G) {
			own := map[string]bool{}
			for _, p := range g.GetInput() {
				own[p.GetName()] = true
			}
			for _, p := range g.GetInitializer() {
				own[p.GetName()] = true
			}
			for _, inner := range g.GetNode() {
				for _, name := range uses(inner) {
					if !own[name] {
						names = append(names, name)
					}
				}
				for _, name := range inner.Output {
					own[name] = true
				}
			}
			for _, p := range g.GetOutput() {
				if !own[p.GetName()] {
					names = append(names, p.GetName())
				}
			}
		}
	}
	return names
}

// constants visits every constant: those of the graph, of its nodes, and of graphs and functions inside them.
func (m *Model) constants(visit func(*format.TensorProto) error) error {
	if err := inGraph(m.graph, visit); err != nil {
		return err
	}
	for _, f := range m.proto.Functions {
		if err := inNodes(f.Node, visit); err != nil {
			return err
		}
	}
	return nil
}

func inGraph(g *format.GraphProto, visit func(*format.TensorProto) error) error {
	if len(g.GetSparseInitializer()) > 0 {
		return errSparse
	}
	for _, t := range g.GetInitializer() {
		if err := visit(t); err != nil {
			return err
		}
	}
	return inNodes(g.GetNode(), visit)
}

func inNodes(nodes []*format.NodeProto, visit func(*format.TensorProto) error) error {
	for _, node := range nodes {
		for _, a := range node.Attribute {
			if a.SparseTensor != nil || len(a.SparseTensors) > 0 {
				return errSparse
			}
			for _, t := range append(slices.Clone(a.Tensors), a.T) {
				if err := visit(t); err != nil {
					return fmt.Errorf("node %q (%s): %w", node.GetName(), node.GetOpType(), err)
				}
			}
			for _, g := range append(slices.Clone(a.Graphs), a.G) {
				if err := inGraph(g, visit); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// A sparse constant of a few bytes may stand for any number of zeros.
var errSparse = errors.New("the network has sparse weights, which are not read; export it with dense ones")

// whole refuses a constant that lies in another file, as a path in a file of somebody else's is not followed,
// and one whose shape has more places than the file has numbers for it.
func whole(t *format.TensorProto) error {
	if t.GetDataLocation() == format.TensorProto_EXTERNAL || len(t.GetExternalData()) > 0 {
		return fmt.Errorf("the weights %q lie in another file; export the network with its weights inside (onnx.save without save_as_external_data)", t.GetName())
	}
	// At most four numbers share a byte or an entry of a list: the narrowest type has 2 bits.
	held := 4 * (len(t.GetRawData()) + len(t.GetFloatData()) + len(t.GetInt32Data()) + len(t.GetInt64Data()) +
		len(t.GetDoubleData()) + len(t.GetUint64Data()) + len(t.GetStringData()))
	n := int64(1)
	for _, d := range t.GetDims() {
		if d < 0 || d > 0 && n > int64(held)/d {
			return fmt.Errorf("the weights %q have the shape %v, for which the file does not hold the numbers", t.GetName(), t.GetDims())
		}
		n *= d
	}
	return nil
}

// finite refuses weights that are no numbers: one of them makes every score NaN.
func finite(t *format.TensorProto) error {
	bad := func(i int, v float64) error {
		return fmt.Errorf("the weights %q hold %g at place %d", t.GetName(), v, i)
	}
	one := len(t.GetDims()) == 0 // a bound of Clip may be infinite
	wrong := func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) && !one }
	for i, v := range t.GetFloatData() {
		if wrong(float64(v)) {
			return bad(i, float64(v))
		}
	}
	for i, v := range t.GetDoubleData() {
		if wrong(v) {
			return bad(i, v)
		}
	}
	raw := t.GetRawData()
	switch format.TensorProto_DataType(t.GetDataType()) {
	case format.TensorProto_FLOAT:
		return eachBits(raw, 4, 0x7f800000, 0x7fffff, one, bad)
	case format.TensorProto_FLOAT16:
		return eachBits(raw, 2, 0x7c00, 0x3ff, one, bad)
	case format.TensorProto_BFLOAT16:
		return eachBits(raw, 2, 0x7f80, 0x7f, one, bad)
	case format.TensorProto_DOUBLE:
		return eachBits(raw, 8, 0x7ff<<52, 1<<52-1, one, bad)
	}
	return nil
}

// eachBits looks for numbers whose exponent has all bits set, which are NaN or infinite in every format of IEEE 754.
func eachBits(raw []byte, size int, exponent, fraction uint64, one bool, bad func(int, float64) error) error {
	for i := 0; i+size <= len(raw); i += size {
		var bits uint64
		for j := size - 1; j >= 0; j-- {
			bits = bits<<8 | uint64(raw[i+j])
		}
		if bits&exponent != exponent {
			continue
		}
		if bits&fraction != 0 {
			return bad(i/size, math.NaN())
		}
		if !one {
			return bad(i/size, math.Inf(1))
		}
	}
	return nil
}
