package network

import (
	"errors"
	"fmt"

	ort "github.com/yalue/onnxruntime_go"

	"linectl/internal/inspect/onnx"
)

// Quantize makes the network of a backbone, cut to the named layers, that computes its convolutions in 8 bits. next
// puts one picture after the other into the input, and says when there are no more: the numbers that the network
// makes of them say which ranges the 8 bits span. The same backbone, layers and pictures give the same bytes.
func (r *Runtime) Quantize(b Backbone, layers []string, width, height int, next func(input []float32) (more bool, err error)) ([]byte, error) {
	m, err := cut(b, layers)
	if err != nil {
		return nil, err
	}
	names := m.Rounded()
	m.Watch(names)
	watched, err := m.Encode()
	if err != nil {
		return nil, err
	}
	ranges, err := r.observe(watched, b.Input, names, width, height, next)
	if err != nil {
		return nil, fmt.Errorf("observe backbone %s: %w", b.Name, err)
	}
	if m, err = cut(b, layers); err != nil { // Watch has changed the other one
		return nil, err
	}
	if err := m.Quantize(ranges); err != nil {
		return nil, fmt.Errorf("backbone %s in 8 bits: %w", b.Name, err)
	}
	return m.Encode()
}

func cut(b Backbone, layers []string) (*onnx.Model, error) {
	m, err := onnx.Read(b.model)
	if err == nil {
		_, err = m.Take()
	}
	if err == nil {
		err = m.Cut(layers)
	}
	if err != nil {
		return nil, fmt.Errorf("cut backbone %s: %w", b.Name, err)
	}
	return m, nil
}

// observe runs a model on pictures and notes between what its outputs lie.
func (r *Runtime) observe(model []byte, input string, outputs []string, width, height int, next func([]float32) (bool, error)) (map[string]onnx.Range, error) {
	m, err := r.newModel(model, []string{input}, outputs, form{})
	if err != nil {
		return nil, err
	}
	defer m.session.Destroy()
	in, err := r.NewTensor(1, 3, height, width)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	seen := make([]onnx.Range, len(outputs))
	pictures := 0
	for {
		more, err := next(in.Data())
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		pictures++
		if err := m.look(in, seen); err != nil {
			return nil, err
		}
	}
	if pictures == 0 {
		return nil, errors.New("there is no picture")
	}
	ranges := make(map[string]onnx.Range, len(outputs))
	for i, name := range outputs {
		ranges[name] = seen[i]
	}
	return ranges, nil
}

// look runs the model and widens the ranges to what its outputs hold.
func (m *model) look(in *Tensor, seen []onnx.Range) error {
	values := make([]ort.Value, len(seen)) // nil ones are allocated by the run
	defer func() {
		for _, v := range values {
			if v != nil {
				v.Destroy()
			}
		}
	}()
	if err := m.session.Run([]ort.Value{in.value}, values); err != nil {
		return flat(err)
	}
	for i, v := range values {
		t, ok := v.(*ort.Tensor[float32])
		if !ok {
			return errors.New("a layer is no tensor of float32")
		}
		for _, x := range t.GetData() {
			seen[i].Include(x)
		}
	}
	return nil
}

// Computing is the backbone with another model of its layers in the file's place: one that Quantize has made.
func (b Backbone) Computing(model []byte) Backbone {
	b.model = model
	return b
}
