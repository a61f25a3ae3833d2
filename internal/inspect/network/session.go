// Package network runs networks with ONNX Runtime: it finds the library and the backbone, and turns
// pictures into feature maps. It knows nothing of products, recipes or scores, and it refuses a device
// that it was not asked for.
package network

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	ort "github.com/yalue/onnxruntime_go"
)

// MaxThreads is the most threads that a session may be given.
const MaxThreads = 64

// Runtime is ONNX Runtime, loaded, with the settings that sessions share.
type Runtime struct {
	device  Device
	threads int
	library string
	engines string
	awake   bool // backbones are kept awake while the line pauses
}

// Library is the file that ONNX Runtime was loaded from.
func (r *Runtime) Library() string { return r.library }

// Version is that of ONNX Runtime.
func (r *Runtime) Version() string { return ort.GetVersion() }

// Device is what sessions compute on, all of them.
func (r *Runtime) Device() Device { return r.device }

// Threads is how many of the CPU's cores a session takes.
func (r *Runtime) Threads() int { return r.threads }

// KeepEngines names the folder that keeps what TensorRT and OpenVINO make of a network, which may take
// them minutes. It may be emptied at any time.
func (r *Runtime) KeepEngines(folder string) { r.engines = folder }

// Start loads the library (where is told by the package's order of places, or by the explicit path) for
// the device and computes something on it; threads 0 takes every core.
func Start(explicit, device string, threads int) (*Runtime, error) {
	d, err := ParseDevice(device)
	if err != nil {
		return nil, fmt.Errorf("device %w", err)
	}
	path, err := library(explicit, d.build())
	if err != nil {
		return nil, err
	}
	if err := d.missing(path, driverFiles); err != nil {
		return nil, err
	}
	if err := load(path); err != nil {
		return nil, err
	}
	if threads == 0 {
		threads = min(runtime.NumCPU(), MaxThreads)
	}
	r := &Runtime{device: d, threads: threads, library: path, awake: d.sleeps()}
	if d.Kind != CPU {
		if err := r.prove(); err != nil {
			return nil, d.refused(err)
		}
	}
	return r, nil
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

// model is a network that ONNX Runtime has read and prepared. Several sessions may run it, one at a time.
type model struct {
	session *ort.DynamicAdvancedSession
	copies  bool // inputs are copied into the device's memory when they are bound, so each run binds them
	running sync.Mutex
	used    time.Time // when a part last used it; while running is held
	pulses  int       // runs that only kept the device awake; while running is held
}

func (r *Runtime) newModel(bytes []byte, inputs, outputs []string, f form) (*model, error) {
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, flat(err)
	}
	defer options.Destroy()
	var session *ort.DynamicAdvancedSession
	steps := []func() error{
		func() error { return options.SetIntraOpNumThreads(r.threads) },
		func() error { return options.SetInterOpNumThreads(1) },
		func() error { return options.SetGraphOptimizationLevel(ort.GraphOptimizationLevelEnableAll) },
		// The threads of one session must not spin while another session of the same part computes.
		func() error { return options.AddSessionConfigEntry("session.force_spinning_stop", "1") },
		func() error { return options.AddSessionConfigEntry("session.use_env_allocators", "1") },
		// Processors without VNNI add products of 8 bits in 16, which saturate; this keeps them from it.
		func() error { return options.AddSessionConfigEntry("session.x64quantprecision", "1") },
		// It would move rounding to before a MaxPool of float32, which then takes forty times as long.
		func() error {
			return options.AddSessionConfigEntry("optimization.disable_specified_optimizers", "QDQPropagationTransformer")
		},
		func() error { return r.device.use(options, r.threads, r.engines, f) },
		func() (err error) {
			session, err = ort.NewDynamicAdvancedSessionWithONNXData(bytes, inputs, outputs, options)
			return err
		},
	}
	if err := keepSignalStack(func() error {
		for _, step := range steps {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return nil, flat(err)
	}
	return &model{session: session, copies: r.device.OwnMemory()}, nil
}

// Session is a model ready to run on tensors that were bound once: on the CPU a run allocates nothing in
// Go. The tensors belong to the caller and must outlive the session. Run may not be called concurrently.
type Session struct {
	model   *model
	binding *ort.IoBinding
	inputs  []Port
	release func()
}

// NewSession makes a session of an ONNX model.
func (r *Runtime) NewSession(bytes []byte, inputs, outputs []Port) (*Session, error) {
	m, err := r.newModel(bytes, names(inputs), names(outputs), form{})
	if err != nil {
		return nil, err
	}
	return m.bind(inputs, outputs, func() { m.session.Destroy() })
}

func names(ports []Port) []string {
	all := make([]string, len(ports))
	for i, p := range ports {
		all[i] = p.Name
	}
	return all
}

// bind makes a session of the model; release is called when it is closed, and when it cannot be made.
func (m *model) bind(inputs, outputs []Port, release func()) (*Session, error) {
	s := &Session{model: m, inputs: inputs, release: release}
	var err error
	if s.binding, err = m.session.CreateIoBinding(); err != nil {
		release()
		return nil, flat(err)
	}
	err = s.bindInputs()
	for _, p := range outputs {
		err = errors.Join(err, s.binding.BindOutput(p.Name, p.Tensor.value))
	}
	if err != nil {
		s.Close()
		return nil, flat(err)
	}
	return s, nil
}

func (s *Session) bindInputs() error {
	for _, p := range s.inputs {
		if err := s.binding.BindInput(p.Name, p.Tensor.value); err != nil {
			return err
		}
	}
	return nil
}

// Run computes the outputs from what the inputs hold now. It cannot be interrupted.
func (s *Session) Run() error {
	s.model.running.Lock()
	defer s.model.running.Unlock()
	err := s.run()
	s.model.used = time.Now()
	if err != nil {
		return flat(err)
	}
	return nil
}

func (s *Session) run() error {
	if s.model.copies {
		if err := s.bindInputs(); err != nil {
			return err
		}
	}
	return s.model.session.RunWithBinding(s.binding)
}

// Close frees the session.
func (s *Session) Close() {
	s.binding.Destroy()
	s.release()
}
