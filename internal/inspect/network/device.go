package network

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	ort "github.com/yalue/onnxruntime_go"

	"linectl/internal/hint"
	"linectl/internal/inspect/onnx"
)

// The kinds of devices.
const (
	CPU      = "cpu" // what every linectl can compute on
	cuda     = "cuda"
	tensorRT = "tensorrt"
	openVINO = "openvino"
)

// Device is what computes networks.
type Device struct {
	Kind   string // cpu, cuda, tensorrt or openvino
	Target string // the number of the GPU, or OpenVINO's name of the device; "" for cpu
	Half   bool   // computes in fp16
}

var devicePattern = regexp.MustCompile(`^(?:cpu|(cuda|tensorrt):(\d{1,2})(:fp16)?|(openvino):(CPU|GPU|NPU)(:fp16)?)$`)

// ParseDevice reads the name of a device as the config has it.
func ParseDevice(name string) (Device, error) {
	m := devicePattern.FindStringSubmatch(name)
	if m == nil {
		return Device{}, fmt.Errorf("%q is no device; allowed is cpu, cuda:N and tensorrt:N for GPU N from 0, openvino:CPU, openvino:GPU and openvino:NPU:fp16; "+
			":fp16 may follow tensorrt:N and openvino:GPU", name)
	}
	gpu, number, target, half := m[1], m[2], m[5], m[3]+m[6] != ""
	switch {
	case half && gpu == cuda:
		return Device{}, fmt.Errorf("%q cannot be used: CUDA computes a network in the numbers that it is stored in; fp16 takes tensorrt:%s:fp16", name, number)
	case half && target == "CPU":
		return Device{}, fmt.Errorf("%q cannot be used: on a CPU OpenVINO computes in fp32", name)
	case !half && target == "NPU":
		return Device{}, fmt.Errorf("%q cannot be used: an NPU computes in fp16 only, which openvino:NPU:fp16 allows", name)
	case gpu != "":
		n, err := strconv.Atoi(number)
		return Device{Kind: gpu, Target: strconv.Itoa(n), Half: half}, err
	case target != "":
		return Device{Kind: openVINO, Target: target, Half: half}, nil
	}
	return Device{Kind: CPU}, nil
}

// CheckDevice refuses a name that no device has.
func CheckDevice(name string) error {
	_, err := ParseDevice(name)
	return err
}

func (d Device) String() string {
	name := d.Kind
	if d.Target != "" {
		name += ":" + d.Target
	}
	if d.Half {
		name += ":fp16"
	}
	return name
}

// OwnMemory tells whether the device is a GPU of NVIDIA, which has memory of its own.
func (d Device) OwnMemory() bool { return d.Kind == cuda || d.Kind == tensorRT }

// sleeps tells whether the device slows down while nothing is asked of it.
func (d Device) sleeps() bool { return d.OwnMemory() || d.Target == "GPU" }

// compiles tells whether the device translates a network for one input size, which may take minutes and
// is worth keeping.
func (d Device) compiles() bool { return d.Kind == tensorRT || d.Kind == openVINO }

// Int8 tells whether a device computes products of 8-bit numbers that ONNX Runtime's own kernels for the
// CPU know; on others an int8 memory bank is to be computed in fp32, which they do faster.
func (d Device) Int8() bool { return d.Kind == CPU }

// The files that a loaded NVIDIA driver shows: on the machine itself, in a container, under WSL.
var driverFiles = []string{"/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg"}

// missing says what a device lacks that can be seen without asking it.
func (d Device) missing(library string, driver []string) error {
	if d.Kind == CPU {
		return nil
	}
	provider := "libonnxruntime_providers_" + d.Kind + ".so"
	if _, err := os.Stat(filepath.Join(filepath.Dir(library), provider)); err != nil {
		return hint.New(hint.Usage, fmt.Errorf("device %s: the ONNX Runtime %s was built without it: %s is not beside it", d, library, provider),
			"'make runtime DEVICE="+d.build()+"' installs one that has it; "+LibraryVariable+" or inspect.library names it")
	}
	there := func(path string) bool { _, err := os.Stat(path); return err == nil }
	if d.OwnMemory() && !slices.ContainsFunc(driver, there) {
		return hint.New(hint.Failure, fmt.Errorf("device %s: no NVIDIA driver is loaded on this machine", d),
			"install the driver; 'nvidia-smi' must list the GPU. Into a container it is passed by the NVIDIA container toolkit")
	}
	return nil
}

// build is the name of the ONNX Runtime that has the device.
func (d Device) build() string {
	if d.OwnMemory() {
		return cuda
	}
	return d.Kind
}

// refused is the error of a device that is there in part.
func (d Device) refused(err error) error {
	next := "docs/devices.md lists what the device needs"
	switch {
	case d.OwnMemory():
		next = "install CUDA 13 and cuDNN 9, and for tensorrt TensorRT 10; 'nvidia-smi' must list the GPU; docs/devices.md says which packages"
	case d.Target == "GPU":
		next = "install Intel's compute runtime (intel-opencl-icd) and give the user the group render"
	case d.Target == "NPU":
		next = "install Intel's NPU driver and give the user the group render"
	}
	return hint.New(hint.Failure, fmt.Errorf("device %s cannot be used: %w", d, flat(err)), next)
}

// form is the one size of input that a compiling device translates a network for.
type form struct {
	input         string
	width, height int
}

// use makes a session compute on the device and nowhere else. engines is the folder that keeps translated
// networks; "" keeps none.
func (d Device) use(options *ort.SessionOptions, threads int, engines string, f form) error {
	if d.Kind == CPU {
		return nil
	}
	// ONNX Runtime computes on the CPU, without a word, what a device does not take. Here that is an error.
	if err := options.AddSessionConfigEntry("session.disable_cpu_ep_fallback", "1"); err != nil {
		return err
	}
	if engines != "" && d.compiles() {
		if err := os.MkdirAll(engines, 0o750); err != nil {
			return err
		}
	}
	switch d.Kind {
	case openVINO:
		return options.AppendExecutionProviderOpenVINO(d.openVINO(threads, engines, f))
	case tensorRT:
		if err := d.appendTensorRT(options, engines, f); err != nil {
			return err
		}
	}
	// What TensorRT leaves, CUDA computes on the same GPU.
	return d.appendCUDA(options)
}

func (d Device) openVINO(threads int, engines string, f form) map[string]string {
	set := map[string]string{"device_type": d.Target, "precision": "FP32"}
	if d.Half {
		set["precision"] = "FP16"
	}
	if d.Target == "CPU" {
		set["num_of_threads"] = strconv.Itoa(threads)
	}
	if engines != "" {
		set["cache_dir"] = engines
	}
	if f != (form{}) {
		set["reshape_input"] = fmt.Sprintf("%s[1,3,%d,%d]", f.input, f.height, f.width)
	}
	return set
}

func (d Device) appendTensorRT(options *ort.SessionOptions, engines string, f form) error {
	set := map[string]string{"device_id": d.Target, "trt_fp16_enable": "0"}
	if d.Half {
		set["trt_fp16_enable"] = "1"
	}
	if engines != "" {
		set["trt_engine_cache_enable"], set["trt_engine_cache_path"] = "1", engines
		set["trt_timing_cache_enable"], set["trt_timing_cache_path"] = "1", engines
	}
	if f != (form{}) {
		shape := fmt.Sprintf("%s:1x3x%dx%d", f.input, f.height, f.width)
		for _, which := range []string{"min", "opt", "max"} {
			set["trt_profile_"+which+"_shapes"] = shape
		}
	}
	provider, err := ort.NewTensorRTProviderOptions()
	if err != nil {
		return err
	}
	defer provider.Destroy()
	return errors.Join(provider.Update(set), options.AppendExecutionProviderTensorRT(provider))
}

func (d Device) appendCUDA(options *ort.SessionOptions) error {
	provider, err := ort.NewCUDAProviderOptions()
	if err != nil {
		return err
	}
	defer provider.Destroy()
	// TF32 has ten bits where fp32 has 23, and nobody asked for it.
	return errors.Join(provider.Update(map[string]string{"device_id": d.Target, "use_tf32": "0"}), options.AppendExecutionProviderCUDA(provider))
}

// prove computes something on the device: libraries that load may still find no GPU.
func (r *Runtime) prove() (err error) {
	var g onnx.Graph
	g.Input("x", 1, 4)
	g.Float32s("one", []float32{1, 1, 1, 1}, 1, 4)
	g.Node("Add", "sum", []string{"x", "one"})
	g.Output("sum", 1, 4)
	x, err := r.NewTensor(1, 4)
	if err != nil {
		return err
	}
	defer x.Close()
	sum, err := r.NewTensor(1, 4)
	if err != nil {
		return err
	}
	defer sum.Close()
	s, err := r.NewSession(g.Encode(), []Port{{"x", x}}, []Port{{"sum", sum}})
	if err != nil {
		return err
	}
	defer s.Close()
	for i := range x.Data() {
		x.Data()[i] = float32(i)
	}
	if err := s.Run(); err != nil {
		return err
	}
	for i, v := range sum.Data() {
		if math.Abs(float64(v)-float64(i+1)) > 1e-6 {
			return fmt.Errorf("it computes %d + 1 = %g", i, v)
		}
	}
	return nil
}
