// Package network runs networks with ONNX Runtime: it finds the library and the backbone, and turns
// pictures into feature maps. It knows nothing of products, recipes or scores, and it refuses a device
// that it was not asked for.
package network

import (
	"fmt"
	"runtime"

	ort "github.com/yalue/onnxruntime_go"
)

// CPU is the one device that this version computes on.
const CPU = "cpu"

// MaxThreads is the most threads that a session may be given.
const MaxThreads = 64

// CheckDevice refuses a device that this version cannot use.
func CheckDevice(name string) error {
	if name == CPU {
		return nil
	}
	return fmt.Errorf("%q cannot be used: this version of linectl computes on \"cpu\" only", name)
}

// Runtime is ONNX Runtime, loaded, with the settings that sessions share.
type Runtime struct {
	threads int
	library string
}

// Library is the file that ONNX Runtime was loaded from.
func (r *Runtime) Library() string { return r.library }

// Version is that of ONNX Runtime.
func (r *Runtime) Version() string { return ort.GetVersion() }

// Start loads the library (where is told by the package's order of places, or by the explicit path) for
// the device; threads 0 takes every core.
func Start(explicit, device string, threads int) (*Runtime, error) {
	if err := CheckDevice(device); err != nil {
		return nil, fmt.Errorf("device %w", err)
	}
	path, err := library(explicit)
	if err != nil {
		return nil, err
	}
	if err := load(path); err != nil {
		return nil, err
	}
	if threads == 0 {
		threads = min(runtime.NumCPU(), MaxThreads)
	}
	return &Runtime{threads: threads, library: path}, nil
}

// Tensor is a block of float32 that sessions read and write in place.
type Tensor struct {
	value *ort.Tensor[float32]
}

// NewTensor makes a tensor of zeros.
func (r *Runtime) NewTensor(shape ...int) (*Tensor, error) {
	dims := make(ort.Shape, len(shape))
	for i, n := range shape {
		dims[i] = int64(n)
	}
	value, err := ort.NewEmptyTensor[float32](dims)
	if err != nil {
		return nil, fmt.Errorf("tensor %v: %w", shape, flat(err))
	}
	return &Tensor{value}, nil
}

// Data is the content, row by row; it changes with the next run of a session that writes the tensor.
func (t *Tensor) Data() []float32 { return t.value.GetData() }

// Close frees the tensor. No session that uses it may run afterwards.
func (t *Tensor) Close() { t.value.Destroy() }

// Port binds a named input or output of a model to a tensor.
type Port struct {
	Name   string
	Tensor *Tensor
}

// Session is a model ready to run on tensors that were bound once: a run allocates nothing in Go. The
// tensors belong to the caller and must outlive the session. Run may not be called concurrently.
type Session struct {
	session *ort.AdvancedSession
}

// NewSession makes a session of an ONNX model.
func (r *Runtime) NewSession(model []byte, inputs, outputs []Port) (*Session, error) {
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, flat(err)
	}
	defer options.Destroy()
	// The threads of one session must not spin while another session of the same part computes.
	for _, set := range []func() error{
		func() error { return options.SetIntraOpNumThreads(r.threads) },
		func() error { return options.SetInterOpNumThreads(1) },
		func() error { return options.SetGraphOptimizationLevel(ort.GraphOptimizationLevelEnableAll) },
		func() error { return options.AddSessionConfigEntry("session.force_spinning_stop", "1") },
	} {
		if err := set(); err != nil {
			return nil, flat(err)
		}
	}
	inputNames, inputValues := bind(inputs)
	outputNames, outputValues := bind(outputs)
	session, err := ort.NewAdvancedSessionWithONNXData(model, inputNames, outputNames, inputValues, outputValues, options)
	if err != nil {
		return nil, flat(err)
	}
	return &Session{session}, nil
}

func bind(ports []Port) (names []string, values []ort.Value) {
	for _, p := range ports {
		names = append(names, p.Name)
		values = append(values, p.Tensor.value)
	}
	return names, values
}

// Run computes the outputs from what the inputs hold now. It cannot be interrupted.
func (s *Session) Run() error {
	if err := s.session.Run(); err != nil {
		return flat(err)
	}
	return nil
}

// Close frees the session.
func (s *Session) Close() { s.session.Destroy() }
