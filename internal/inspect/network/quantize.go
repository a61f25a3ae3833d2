package network

import (
	"errors"
	"fmt"

	ort "github.com/yalue/onnxruntime_go"

	"linectl/internal/inspect/onnx"
)

// Observer runs a backbone on pictures and notes between what the numbers inside it lie, so that it can be
// computed in 8 bits.
type Observer struct {
	Input *Tensor // [1, 3, height, width], to be filled before Look

	backbone Backbone
	layers   []string
	model    *model
	names    []string
	seen     []onnx.Range
}

// Observe opens a backbone, cut to the named layers, to be observed.
func (r *Runtime) Observe(b Backbone, layers []string, width, height int) (*Observer, error) {
	m, err := cut(b, layers)
	if err != nil {
		return nil, err
	}
	o := &Observer{backbone: b, layers: layers, names: m.Rounded()}
	if len(o.names) == 0 {
		return nil, fmt.Errorf("backbone %s has no convolution that could be computed in 8 bits", b.Name)
	}
	o.seen = make([]onnx.Range, len(o.names))
	m.Watch(o.names)
	watched, err := m.Encode()
	if err != nil {
		return nil, err
	}
	if o.model, err = r.newModel(watched, []string{b.Input}, o.names, form{}); err != nil {
		return nil, err
	}
	if o.Input, err = r.NewTensor(1, 3, height, width); err != nil {
		o.Close()
		return nil, err
	}
	return o, nil
}

// cut reads a backbone's file and takes away what the layers do not need.
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

// Look runs the network on the picture in Input.
func (o *Observer) Look() error {
	values := make([]ort.Value, len(o.names)) // nil ones are allocated by the run
	defer func() {
		for _, v := range values {
			if v != nil {
				v.Destroy()
			}
		}
	}()
	if err := o.model.session.Run([]ort.Value{o.Input.value}, values); err != nil {
		return flat(err)
	}
	for i, v := range values {
		t, ok := v.(*ort.Tensor[float32])
		if !ok {
			return errors.New("a layer is no tensor of float32")
		}
		for _, x := range t.GetData() {
			o.seen[i].Include(x)
		}
	}
	return nil
}

// Quantize makes the network that computes its convolutions in 8 bits, which span what was seen. The same
// backbone, layers and pictures give the same bytes.
func (o *Observer) Quantize() ([]byte, error) {
	m, err := cut(o.backbone, o.layers)
	if err != nil {
		return nil, err
	}
	ranges := make(map[string]onnx.Range, len(o.names))
	for i, name := range o.names {
		ranges[name] = o.seen[i]
	}
	if err := m.Quantize(ranges); err != nil {
		return nil, fmt.Errorf("backbone %s in 8 bits: %w", o.backbone.Name, err)
	}
	return m.Encode()
}

// Close frees the observer; it may be called on one that is half open.
func (o *Observer) Close() {
	o.model.session.Destroy()
	if o.Input != nil {
		o.Input.Close()
	}
}

// Computing is the backbone with another model of its layers in the file's place: one that Quantize has made.
func (b Backbone) Computing(model []byte) Backbone {
	b.model = model
	return b
}
