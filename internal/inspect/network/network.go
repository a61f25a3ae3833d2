package network

import (
	"fmt"

	"linectl/internal/hint"
)

// Feature is one feature map of a network: [1, Channels, Height, Width].
type Feature struct {
	Layer
	Width, Height int
	Tensor        *Tensor
}

// Finite tells whether every number in the features is one. A network that gives others on some picture is broken,
// also where a method happens to look past them.
func Finite(features []Feature) bool {
	var none float32 // stays 0 until a product with 0 is NaN, as that of NaN and of infinity is
	for _, f := range features {
		for _, v := range f.Tensor.Data() {
			none += v * 0
		}
	}
	return none == 0
}

// Network is a backbone ready to turn one picture of a fixed size into feature maps. Networks of the same
// backbone and layers share its weights and run one at a time. Not for concurrent use.
type Network struct {
	Input    *Tensor // [1, 3, height, width], to be filled before Run
	Features []Feature
	session  *Session
}

// Open makes a backbone ready for pictures of one size and gives the named layers.
func (r *Runtime) Open(b Backbone, layers []string, width, height int) (*Network, error) {
	if width <= 0 || height <= 0 || width%b.Multiple != 0 || height%b.Multiple != 0 {
		return nil, hint.New(hint.Usage, fmt.Errorf("input size %dx%d: backbone %s needs multiples of %d", width, height, b.Name, b.Multiple),
			"choose another size with --size")
	}
	chosen, err := b.Choose(layers)
	if err != nil {
		return nil, fmt.Errorf("backbone %s: %w", b.Name, err)
	}
	n := new(Network)
	if err := n.open(r, b, chosen, width, height); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

func (n *Network) open(r *Runtime, b Backbone, layers []Layer, width, height int) error {
	if err := n.allocate(r, layers, width, height); err != nil {
		return err
	}
	outputs := n.outputs()
	m, release, err := r.share(b.model, names(outputs), form{b.Input, width, height})
	if err == nil {
		n.session, err = m.bind([]Port{{b.Input, n.Input}}, outputs, release)
	}
	if err != nil {
		return hint.New(hint.Usage, fmt.Errorf("open backbone %s: %w", b.Path, err), "the file must be an ONNX network that its card describes")
	}
	// The first run finds out whether the file gives what its card says, and is slow; no part should wait for it.
	if err := n.Run(); err != nil {
		return hint.New(hint.Usage, fmt.Errorf("backbone %s does not run as its card says: %w", b.Path, err), "correct the card: input, layers, strides, channels")
	}
	if !r.awake {
		return nil
	}
	return m.stayAwake(func() (*Network, error) {
		twin := new(Network)
		err := twin.allocate(r, layers, width, height)
		if err == nil {
			twin.session, err = m.bind([]Port{{b.Input, twin.Input}}, twin.outputs(), func() {})
		}
		if err != nil {
			twin.Close()
		}
		return twin, err
	})
}

// allocate makes the tensors that pictures go into and features come out of.
func (n *Network) allocate(r *Runtime, layers []Layer, width, height int) (err error) {
	if n.Input, err = r.NewTensor(1, 3, height, width); err != nil {
		return err
	}
	for _, l := range layers {
		f := Feature{Layer: l, Width: (width + l.Stride - 1) / l.Stride, Height: (height + l.Stride - 1) / l.Stride}
		if f.Tensor, err = r.NewTensor(1, f.Channels, f.Height, f.Width); err != nil {
			return err
		}
		n.Features = append(n.Features, f)
	}
	return nil
}

func (n *Network) outputs() []Port {
	ports := make([]Port, len(n.Features))
	for i, f := range n.Features {
		ports[i] = Port{f.Name, f.Tensor}
	}
	return ports
}

// Run computes the features of what Input holds.
func (n *Network) Run() error { return n.session.Run() }

// Close frees the network; it may be called on one that is half open.
func (n *Network) Close() {
	if n.session != nil {
		n.session.Close()
	}
	if n.Input != nil {
		n.Input.Close()
	}
	for _, f := range n.Features {
		f.Tensor.Close()
	}
}
