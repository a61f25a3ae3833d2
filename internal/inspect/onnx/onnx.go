// Package onnx writes ONNX models, as much of the format as linectl needs for the graphs that it builds
// itself, and cuts those of others: a classifier becomes a network that gives the feature maps inside it.
// What an operation means is ONNX Runtime's to understand.
//
// The numbers of fields and types are those of onnx.proto, IR version 8, operator set 13
// (https://github.com/onnx/onnx/blob/v1.13.0/onnx/onnx.proto).
package onnx

import (
	"encoding/binary"
	"math"
)

const (
	irVersion   = 8
	operatorSet = 13

	int8Type  = 3 // TensorProto.DataType
	int64Type = 7
)

// Float32 is the type of real numbers, as the operation Cast names it.
const Float32 = 1

// Graph collects nodes and constants until Encode writes them as a model. The zero value is an empty graph.
type Graph struct {
	nodes, constants, inputs, outputs message
}

// Attribute is a named setting of a node.
type Attribute struct{ encoded message }

// Int is a number as attribute.
func Int(name string, value int64) Attribute {
	var m message
	m.text(1, name)
	m.number(3, uint64(value))
	m.number(20, 2)
	return Attribute{m}
}

// Ints is a list of numbers as attribute.
func Ints(name string, values ...int64) Attribute {
	var m message
	m.text(1, name)
	for _, v := range values {
		m.number(8, uint64(v))
	}
	m.number(20, 7)
	return Attribute{m}
}

// Text is a word as attribute.
func Text(name, value string) Attribute {
	var m message
	m.text(1, name)
	m.text(4, value)
	m.number(20, 3)
	return Attribute{m}
}

// Node adds an operation that makes output from inputs; "" leaves an optional input out.
func (g *Graph) Node(operation, output string, inputs []string, attributes ...Attribute) {
	g.NodeOf(operation, []string{output}, inputs, attributes...)
}

// NodeOf adds an operation with several outputs.
func (g *Graph) NodeOf(operation string, outputs, inputs []string, attributes ...Attribute) {
	var m message
	for _, name := range inputs {
		m.text(1, name)
	}
	for _, name := range outputs {
		m.text(2, name)
	}
	m.text(4, operation)
	for _, a := range attributes {
		m.bytes(5, a.encoded)
	}
	g.nodes.bytes(1, m)
}

// Float32s adds a constant of the given shape; values are row by row.
func (g *Graph) Float32s(name string, values []float32, shape ...int) {
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	g.constant(name, Float32, raw, shape)
}

// Int8s adds a constant of the given shape; values are row by row.
func (g *Graph) Int8s(name string, values []int8, shape ...int) {
	raw := make([]byte, len(values))
	for i, v := range values {
		raw[i] = byte(v)
	}
	g.constant(name, int8Type, raw, shape)
}

// Int64s adds a list of whole numbers as constant.
func (g *Graph) Int64s(name string, values ...int64) {
	raw := make([]byte, 0, 8*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	g.constant(name, int64Type, raw, []int{len(values)})
}

func (g *Graph) constant(name string, kind uint64, raw []byte, shape []int) {
	var m message
	for _, n := range shape {
		m.number(1, uint64(n))
	}
	m.number(2, kind)
	m.text(8, name)
	m.bytes(9, raw)
	g.constants.bytes(5, m)
}

// Input declares a float32 input; a dimension of 0 is free.
func (g *Graph) Input(name string, shape ...int) { g.inputs.bytes(11, port(name, shape)) }

// Output declares a float32 output of a fixed shape.
func (g *Graph) Output(name string, shape ...int) { g.outputs.bytes(12, port(name, shape)) }

// port is a ValueInfoProto.
func port(name string, shape []int) message {
	var dims, tensor, kind, m message
	for _, n := range shape {
		var dim message
		if n > 0 {
			dim.number(1, uint64(n))
		}
		dims.bytes(1, dim)
	}
	tensor.number(1, Float32)
	tensor.bytes(2, dims)
	kind.bytes(1, tensor)
	m.text(1, name)
	m.bytes(2, kind)
	return m
}

// Encode writes the model.
func (g *Graph) Encode() []byte {
	var graph, set, model message
	graph = append(graph, g.nodes...)
	graph.text(2, "linectl")
	graph = append(graph, g.constants...)
	graph = append(graph, g.inputs...)
	graph = append(graph, g.outputs...)
	set.text(1, "")
	set.number(2, operatorSet)
	model.number(1, irVersion)
	model.text(2, "linectl")
	model.bytes(7, graph)
	model.bytes(8, set)
	return model
}

// message is a protocol buffer in the making: fields follow one another, each with its number.
type message []byte

func (m *message) number(field int, value uint64) {
	*m = binary.AppendUvarint(*m, uint64(field)<<3)
	*m = binary.AppendUvarint(*m, value)
}

func (m *message) bytes(field int, value []byte) {
	*m = binary.AppendUvarint(*m, uint64(field)<<3|2)
	*m = binary.AppendUvarint(*m, uint64(len(value)))
	*m = append(*m, value...)
}

func (m *message) text(field int, value string) { m.bytes(field, []byte(value)) }
