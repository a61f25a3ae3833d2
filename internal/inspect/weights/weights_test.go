package weights

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestPyTorchsFiles reads files that PyTorch wrote, by testdata/golden.py.
func TestPyTorchsFiles(t *testing.T) {
	want := Dict{
		"whole":     {[]int{2, 3}, []float32{0, 0.25, 0.5, 0.75, 1, 1.25}},
		"half":      {[]int{3}, []float32{1.5, -2, 1.0 / (1 << 24)}}, // 6e-8 is stored as the smallest half
		"brain":     {[]int{2}, []float32{1.5, -256}},
		"double":    {[]int{1, 1}, []float32{0.1}},
		"count":     {[]int{}, []float32{7}},
		"turned":    {[]int{2, 3}, []float32{1, 5, 9, 2, 6, 10}},
		"parameter": {[]int{2}, []float32{4, 5}},
	}
	for _, file := range []string{"small.pth", "legacy.pth"} {
		whole, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(whole)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", file, got, want)
		}
		// A file that was cut off anywhere is refused or, where only padding is lost, read as it was.
		for n := range len(whole) {
			if got, err := Parse(whole[:n]); err == nil && !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %d of %d bytes are read as %v", file, n, len(whole), got)
			}
		}
	}
}

// archive is a .pth file of one tensor of the given count, whose storage holds the given bytes.
func archive(t testing.TB, count int32, storage []byte) []byte {
	t.Helper()
	var p bytes.Buffer
	p.WriteString("\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(" +
		"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ")
	binary.Write(&p, binary.LittleEndian, count)
	p.WriteString("tQK\x00(J")
	binary.Write(&p, binary.LittleEndian, count)
	p.WriteString("t(K\x01t\x89}tRs.")
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, file := range []struct {
		name    string
		content []byte
	}{{"a/data.pkl", p.Bytes()}, {"a/data/0", storage}} {
		w, err := z.Create(file.name)
		if err == nil {
			_, err = w.Write(file.content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestZipBomb: of a storage that unpacks to a thousand times its size no more is unpacked than the tensors need,
// and what a file claims is not believed further than it goes.
func TestZipBomb(t *testing.T) {
	bomb := archive(t, 2, make([]byte, 64<<20))
	if len(bomb) > 128<<10 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	if d, err := Parse(bomb); err != nil || !slices.Equal(d["w"].Values, []float32{0, 0}) {
		t.Fatalf("%v, %v", d, err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := Parse(bomb); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
		t.Errorf("reading 2 numbers takes %d bytes of memory", used)
	}
	for _, test := range []struct {
		count   int32
		storage int
		want    string
	}{
		{3, 8, "has 8 bytes; 12 are needed"},
		{1 << 30, 8, "are needed"},
		{-1, 8, "no storage"},
	} {
		if _, err := Parse(archive(t, test.count, make([]byte, test.storage))); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%d numbers in %d bytes: %v, want %q", test.count, test.storage, err, test.want)
		}
	}
	// A directory that claims less than the file unpacks to, and more.
	for _, claimed := range []uint32{4, 1 << 31} {
		lying := archive(t, 2, make([]byte, 8))
		at := bytes.LastIndex(lying, []byte("PK\x01\x02")) // of the storage
		binary.LittleEndian.PutUint32(lying[at+24:], claimed)
		if d, err := Parse(lying); err == nil && len(d["w"].Values) != 2 {
			t.Errorf("a storage that claims %d bytes: %v", claimed, d)
		}
	}
}

// A pickle that calls os.system, as Python's pickle writes it in protocol 2.
const evil = "\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R."

func TestPickleRunsNothing(t *testing.T) {
	for _, test := range []struct{ pickle, want string }{
		{evil, "posix.system"},
		{"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.", "builtins.eval"},
		{"\x80\x02ctorch\nload\n.", "torch.load"},
		{"\x80\x02c__builtin__\ngetattr\n.", "__builtin__.getattr"},
		{"\x80\x02(i__main__\nA\n.", "operation 0x69"}, // INST
		{"\x80\x02)\x81.", "operation 0x81"},           // NEWOBJ
		{"\x80\x06.", "protocol 6"},
	} {
		if _, err := Parse([]byte(test.pickle)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", test.pickle, err, test.want)
		}
	}
}

// safe is a .safetensors file.
func safe(header, body string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header+body...)
}

func TestSafetensorsRefuses(t *testing.T) {
	const four = "\x00\x00\x80\x3f"
	d, err := Parse(safe(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, four))
	if err != nil || !slices.Equal(d["a"].Values, []float32{1}) {
		t.Fatalf("%v, %v", d, err)
	}
	for _, test := range []struct{ header, body, want string }{
		{`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, four, "does not fit"},
		{`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, four, "does not fit"},
		{`{"a":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}}`, four, "does not fit"},
		{`{"a":{"dtype":"F32","shape":[1099511627776,1099511627776],"data_offsets":[0,4]}}`, four, "more than a file holds"},
		{`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, four, "more than a file holds"},
		{`{"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}}`, four, `type "F8_E4M3"`},
		{`{"a":`, "", "header is damaged"},
		{`{}        `, "", "holds no weights"},
	} {
		if _, err := Parse(safe(test.header, test.body)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.header, err, test.want)
		}
	}
	if _, err := Parse(append([]byte("\xff\xff\xff\xff\xff\xff\xff\x7f"), `{"a"`...)); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("a header of 2^63 bytes: %v", err)
	}
}

// TestResNetRefuses: weights that are not those of the four networks are named, not built wrongly.
func TestResNetRefuses(t *testing.T) {
	names := func(deep bool, width int, blocks [4]int) Dict {
		d := Dict{"conv1.weight": {[]int{64, 3, 7, 7}, make([]float32, 64*3*7*7)}}
		for l, n := range blocks {
			for b := range n {
				d[fmt.Sprintf("layer%d.%d.conv1.weight", l+1, b)] = Tensor{}
			}
		}
		d["layer1.0.conv2.weight"] = Tensor{Shape: []int{width, 64, 3, 3}}
		if deep {
			d["layer1.0.conv3.weight"] = Tensor{}
		}
		return d
	}
	layers := []string{"layer1"}
	for _, test := range []struct {
		d      Dict
		layers []string
		want   string
	}{
		{Dict{"features.0.weight": {}}, layers, "conv1.weight is missing"},
		{names(true, 64, [4]int{3, 4, 23, 3}), layers, "[3 4 23 3] blocks of three convolutions"},
		{names(true, 128, [4]int{3, 4, 6, 3}), []string{"layer5"}, `a WideResNet-50-2 has no layer "layer5"`},
		{names(false, 64, [4]int{2, 2, 2, 2}), layers, "bn1.weight has the shape"},
	} {
		if _, _, err := ResNet(test.d, test.layers); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
	d := names(false, 64, [4]int{2, 2, 2, 2})
	d["layer1.0.se.fc1.weight"] = Tensor{}
	if _, _, err := ResNet(d, layers); err == nil || !strings.Contains(err.Error(), "layer1.0.se.fc1.weight") {
		t.Errorf("a network with more parts: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(evil))
	f.Add(safe(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, "\x00\x00\x80\x3f"))
	f.Add(archive(f, 2, make([]byte, 8)))
	for _, file := range []string{"small.pth", "legacy.pth"} {
		data, err := os.ReadFile("testdata/" + file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		if err == nil && len(d) == 0 {
			t.Error("taken, but empty")
		}
		for name, w := range d {
			if n, err := count(w.Shape); err != nil || n != len(w.Values) {
				t.Errorf("%q has the shape %v and %d numbers", name, w.Shape, len(w.Values))
			}
		}
	})
}
