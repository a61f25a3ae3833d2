package network

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"linectl/internal/hint"
)

func TestParseDevice(t *testing.T) {
	for name, want := range map[string]Device{
		"cpu":               {Kind: CPU},
		"cuda:0":            {Kind: "cuda", Target: "0"},
		"cuda:12":           {Kind: "cuda", Target: "12"},
		"tensorrt:1":        {Kind: "tensorrt", Target: "1"},
		"tensorrt:0:fp16":   {Kind: "tensorrt", Target: "0", Half: true},
		"openvino:CPU":      {Kind: "openvino", Target: "CPU"},
		"openvino:GPU":      {Kind: "openvino", Target: "GPU"},
		"openvino:GPU:fp16": {Kind: "openvino", Target: "GPU", Half: true},
		"openvino:NPU:fp16": {Kind: "openvino", Target: "NPU", Half: true},
	} {
		if got, err := ParseDevice(name); err != nil || got != want || got.String() != name {
			t.Errorf("%s: %+v (%s), %v", name, got, got, err)
		}
	}
	for name, want := range map[string]string{
		"":                  "is no device; allowed is cpu, cuda:N",
		"CPU":               "is no device",
		"cuda":              "is no device",
		"cuda:":             "is no device",
		"cuda:-1":           "is no device",
		"cuda:100":          "is no device",
		"cpu:fp16":          "is no device",
		"openvino:AUTO":     "is no device",
		"openvino:GPU,CPU":  "is no device",
		"cuda:0\n":          "is no device",
		"cuda:0:fp16":       "fp16 takes tensorrt:0:fp16",
		"openvino:CPU:fp16": "on a CPU OpenVINO computes in fp32",
		"openvino:NPU":      "which openvino:NPU:fp16 allows",
	} {
		if _, err := ParseDevice(name); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
			t.Errorf("%q: error %v, want %q", name, err, want)
		}
	}
}

// TestDeviceMissing: what is not there is said before it is tried, with the command that brings it.
func TestDeviceMissing(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "libonnxruntime.so")
	put := func(name string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	put("libonnxruntime_providers_cuda.so")
	driver := filepath.Join(folder, "driver")
	for _, test := range []struct{ device, err, next string }{
		{"openvino:GPU", "libonnxruntime_providers_openvino.so is not beside it", "make runtime DEVICE=openvino"},
		{"tensorrt:0", "libonnxruntime_providers_tensorrt.so is not beside it", "make runtime DEVICE=cuda"},
		{"cuda:0", "device cuda:0: no NVIDIA driver is loaded on this machine", "nvidia-smi"},
	} {
		d, err := ParseDevice(test.device)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.missing(file, []string{driver}); err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(hint.Of(err), test.next) {
			t.Errorf("%s: %v (%s), want %q and %q", test.device, err, hint.Of(err), test.err, test.next)
		}
	}
	put("driver")
	if err := (Device{Kind: cuda}).missing(file, []string{driver}); err != nil {
		t.Error(err)
	}
	if err := (Device{Kind: CPU}).missing("/nowhere/lib.so", nil); err != nil {
		t.Error(err)
	}
}

// noise is an input that is the same in every process.
func noise(n *Network) {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range n.Input.Data() {
		n.Input.Data()[i] = float32(random.NormFloat64())
	}
}

// features runs the default backbone on noise and returns its features, one after the other.
func features(r *Runtime, width, height int) ([]float32, error) {
	b, err := ReadBackbone(ours)
	if err != nil {
		return nil, err
	}
	n, err := r.Open(b, b.PatchOf, width, height)
	if err != nil {
		return nil, err
	}
	defer n.Close()
	noise(n)
	if err := n.Run(); err != nil {
		return nil, err
	}
	var all []float32
	for _, f := range n.Features {
		all = append(all, f.Tensor.Data()...)
	}
	return all, nil
}

const (
	childDevice = "LINECTL_CHILD_DEVICE" // makes TestChild compute on a device
	childOut    = "LINECTL_CHILD_OUT"
)

// TestChild is what the tests of other devices run as a process of its own: a process can load one ONNX
// Runtime only.
func TestChild(t *testing.T) {
	if os.Getenv(childDevice) == "" {
		t.Skip("is the child of other tests")
	}
	r, err := Start("", os.Getenv(childDevice), 1)
	if err != nil {
		fmt.Println("REFUSED:", err, "|", hint.Of(err))
		return
	}
	r.KeepEngines(filepath.Join(filepath.Dir(os.Getenv(childOut)), "engines"))
	if err := closeElsewhere(r); err != nil {
		t.Fatal(err)
	}
	for _, size := range [][2]int{{160, 96}, {96, 160}} {
		begun := time.Now()
		all, err := features(r, size[0], size[1])
		if err != nil {
			fmt.Println("REFUSED:", err, "|", hint.Of(err))
			return
		}
		t.Logf("%dx%d on %s with ONNX Runtime %s: %s", size[0], size[1], r.Device(), r.Version(), time.Since(begun).Round(time.Millisecond))
		f, err := os.OpenFile(os.Getenv(childOut), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err == nil {
			err = errors.Join(binary.Write(f, binary.LittleEndian, all), f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// child runs TestChild on a device and returns what it printed and the features that it found.
func child(t *testing.T, library, device string) (string, []float32) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "features")
	c := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.v")
	c.Env = append(os.Environ(), LibraryVariable+"="+library, childDevice+"="+device, childOut+"="+out)
	text, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		return string(text), nil
	}
	all := make([]float32, len(data)/4)
	for i := range all {
		all[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return string(text), all
}

// closeElsewhere opens a network on one thread, closes it on another and sends the first one a signal, as Go's
// scheduler does at any time.
func closeElsewhere(r *Runtime) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b, err := ReadBackbone(ours)
	if err != nil {
		return err
	}
	n, err := r.Open(b, b.PatchOf, 64, 64)
	if err != nil {
		return err
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		n.Close()
	}()
	<-closed
	return syscall.Tgkill(os.Getpid(), syscall.Gettid(), syscall.SIGURG)
}

// TestOpenVINO computes on OpenVINO's CPU device, with the library that set-up brings for tests, and holds
// the features against those of ONNX Runtime's own CPU kernels. A device that this machine has not is refused.
func TestOpenVINO(t *testing.T) {
	found, _ := filepath.Glob("../../../.tools/onnxruntime-openvino/libonnxruntime.so.*")
	if len(found) != 1 {
		t.Fatalf("ONNX Runtime with OpenVINO is not here (%v): scripts/setup.sh test brings it", found)
	}
	library, err := filepath.Abs(found[0])
	if err != nil {
		t.Fatal(err)
	}
	agrees(t, library, "openvino:CPU")
	for _, device := range []string{"openvino:GPU", "openvino:NPU:fp16", "cuda:0"} {
		text, all := child(t, library, device)
		t.Log(text)
		if all != nil || !strings.Contains(text, "REFUSED: device "+device) || strings.Contains(text, "| \n") {
			t.Errorf("%s is not refused with a next step: %s", device, text)
		}
	}
}

// agrees holds the features of a device against those of ONNX Runtime's own CPU kernels.
func agrees(t *testing.T, library, device string) {
	t.Helper()
	text, got := child(t, library, device)
	t.Log(text)
	r := start(t)
	var want []float32
	for _, size := range [][2]int{{160, 96}, {96, 160}} {
		all, err := features(r, size[0], size[1])
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, all...)
	}
	if len(got) != len(want) {
		t.Fatalf("%d numbers, want %d", len(got), len(want))
	}
	var difference, size float64
	for i, w := range want {
		difference += float64(got[i]-w) * float64(got[i]-w)
		size += float64(w) * float64(w)
	}
	if relative := math.Sqrt(difference / size); !(relative < 1e-4) {
		t.Errorf("differs from cpu by %g of its size", relative)
	} else {
		t.Logf("relative difference to cpu: %.1e", relative)
	}
}

// TestNVIDIA computes on the first GPU of NVIDIA, with the library of 'make runtime DEVICE=cuda' or of LINECTL_ONNXRUNTIME.
func TestNVIDIA(t *testing.T) {
	if !slices.ContainsFunc(driverFiles, func(file string) bool { _, err := os.Stat(file); return err == nil }) {
		t.Skip("this machine has no GPU of NVIDIA, or no driver of it is loaded")
	}
	found, _ := filepath.Glob("../../../.tools/onnxruntime-cuda/libonnxruntime.so.*")
	library := append(found, os.Getenv(LibraryVariable))[0]
	if err := (Device{Kind: cuda}).missing(library, driverFiles); err != nil {
		t.Skip(err)
	}
	agrees(t, library, "cuda:0")
}

// TestPulse: a model is run only while no part uses it, and never while a part is being computed.
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &model{used: time.Now()}
		ctx, stop := context.WithCancel(t.Context())
		go whileIdle(ctx, m.pulse(func() error { return errors.New("is not reported") }))
		wait := func(d time.Duration) (runs int) {
			time.Sleep(d)
			synctest.Wait()
			m.running.Lock()
			defer m.running.Unlock()
			return m.pulses
		}
		if runs := wait(idle - beat/2); runs != 0 {
			t.Errorf("%d runs within a second of a part", runs)
		}
		if runs := wait(10 * beat); runs != 10 {
			t.Errorf("%d runs in ten beats of a pause", runs)
		}
		m.running.Lock()
		time.Sleep(10 * beat)
		m.used = time.Now()
		m.running.Unlock()
		if runs := wait(idle - beat); runs != 10 {
			t.Errorf("%d runs during a part and right after it", runs-10)
		}
		stop()
		if runs := wait(time.Minute); runs != 10 {
			t.Errorf("%d runs after the end", runs-10)
		}
	})
}

// TestStayAwake: what keeps a device awake runs the same model and touches no part's features.
func TestStayAwake(t *testing.T) {
	r := *start(t)
	r.awake = true
	b, err := ReadBackbone(ours)
	if err != nil {
		t.Fatal(err)
	}
	n, err := r.Open(b, b.PatchOf, 64, 64)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	noise(n)
	if err := n.Run(); err != nil {
		t.Fatal(err)
	}
	before := slices.Clone(n.Features[0].Tensor.Data())
	m := n.session.model
	m.running.Lock()
	m.used = time.Time{} // long ago
	m.running.Unlock()
	pulsed := func() bool {
		m.running.Lock()
		defer m.running.Unlock()
		return m.pulses > 0
	}
	for limit := time.Now().Add(time.Minute); !pulsed(); time.Sleep(beat / 10) {
		if time.Now().After(limit) {
			t.Fatal("no pulse within a minute")
		}
	}
	if !slices.Equal(before, n.Features[0].Tensor.Data()) {
		t.Error("a pulse has changed the features of a part")
	}
}

// TestShared: networks of one backbone share a model as long as one of them is open, whatever their size;
// their features do not mix. Another backbone, other layers and other threads are another model.
func TestShared(t *testing.T) {
	r := start(t)
	b, err := ReadBackbone(ours)
	if err != nil {
		t.Fatal(err)
	}
	open := func(r *Runtime, layers []string, width, height int) *Network {
		t.Helper()
		n, err := r.Open(b, layers, width, height)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if n.session != nil {
				n.Close()
			}
		})
		return n
	}
	first, second := open(r, b.PatchOf, 96, 64), open(r, b.PatchOf, 64, 96)
	if first.session.model != second.session.model {
		t.Error("two networks of one backbone do not share it")
	}
	two, err := Start("", CPU, 2)
	if err != nil {
		t.Fatal(err)
	}
	if other := open(two, b.PatchOf, 96, 64); other.session.model == first.session.model {
		t.Error("a network of two threads shares that of one")
	}
	if other := open(r, b.PatchOf[:1], 96, 64); other.session.model == first.session.model {
		t.Error("a network of other layers shares the model")
	}
	noise(first)
	if err := first.Run(); err != nil {
		t.Fatal(err)
	}
	want := slices.Clone(first.Features[1].Tensor.Data())
	var wait sync.WaitGroup
	for _, n := range []*Network{first, second} {
		wait.Go(func() {
			for range 20 {
				if err := n.Run(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if !slices.Equal(want, first.Features[1].Tensor.Data()) {
		t.Error("features changed while another network ran")
	}
	second.Close()
	second.session = nil
	if err := first.Run(); err != nil || !slices.Equal(want, first.Features[1].Tensor.Data()) {
		t.Errorf("after the other was closed: %v", err)
	}
}

// TestRunAllocatesNothing: what is bound once costs no garbage per part.
func TestRunAllocatesNothing(t *testing.T) {
	r := start(t)
	b, err := ReadBackbone(ours)
	if err != nil {
		t.Fatal(err)
	}
	n, err := r.Open(b, b.PatchOf, 64, 64)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if allocations := testing.AllocsPerRun(20, func() {
		if err := n.Run(); err != nil {
			t.Fatal(err)
		}
	}); allocations != 0 {
		t.Errorf("a run allocates %g times", allocations)
	}
}
