package network

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	ort "github.com/yalue/onnxruntime_go"

	"linectl/internal/hint"
	"linectl/internal/inspect/onnx"
	"linectl/internal/inspect/weights"
	"linectl/internal/whole"
)

// Source says how a file of somebody else's becomes a backbone.
type Source struct {
	File    string
	Name    string   // "" takes the file's
	Layers  []string // names of tensors or nodes; none finds the last activation of each stride
	Mean    [3]float32
	Std     [3]float32 // zero: what the file says of itself
	Licence string
	About   string // "" describes the file
}

// Imported is a new backbone, and what was seen when it was proved.
type Imported struct {
	Backbone  Backbone
	Before    int64   // bytes of the file that was imported
	After     int64   // bytes of the ONNX file
	Deviation float64 // greatest difference of a feature before and after the cut, relative to the layer's greatest value
}

// ImageNet's mean and spread of R, G and B, which torchvision's and timm's networks are trained with.
var (
	ImageNetMean = [3]float32{0.485, 0.456, 0.406}
	ImageNetStd  = [3]float32{0.229, 0.224, 0.225}
)

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$`)

// The sizes (width, height) that a network is tried with. They are multiples of 64, and no two of the four
// numbers are alike, so that a map that does not follow the input is noticed.
var trials = [2][2]int{{192, 128}, {256, 320}}

// Import cuts a network to the layers that are wanted, runs it at two sizes, compares what the cut network
// gives with what it gave before, and writes it with a card into the folder. The runtime computes on the CPU.
func (r *Runtime) Import(s Source, folder string) (*Imported, error) {
	refuse := func(err error) error {
		return hint.New(hint.Usage, fmt.Errorf("import %s: %w", s.File, err), "docs/backbones.md tells which networks can be imported, and how to export one")
	}
	if info, err := os.Stat(s.File); err == nil && info.IsDir() {
		return r.importFolder(s, folder)
	}
	if s.Name == "" {
		s.Name = strings.TrimSuffix(filepath.Base(s.File), filepath.Ext(s.File))
	}
	if err := Vacant(s.Name, folder); err != nil {
		return nil, err
	}
	model, before, err := s.read()
	if err != nil {
		return nil, refuse(err)
	}
	m, err := onnx.Read(model)
	if err != nil {
		return nil, refuse(err)
	}
	if err := s.preprocess(m); err != nil {
		return nil, err
	}
	card := Card{Name: s.Name, About: s.About, Licence: s.Licence, Mean: s.Mean, Std: s.Std}
	if card.About == "" {
		card.About = fmt.Sprintf("imported from %s, SHA-256 %s; %s", filepath.Base(s.File), before.sum, m.Describe())
	}
	if card.Licence == "" {
		card.Licence = "unknown"
	}
	if card.Input, err = m.Take(); err != nil {
		return nil, refuse(err)
	}
	expected, err := r.choose(m, s.Layers, &card)
	if err != nil {
		return nil, refuse(err)
	}
	cut, err := m.Encode()
	if err != nil {
		return nil, refuse(err)
	}
	deviation, err := r.compare(cut, card, expected)
	if err != nil {
		return nil, refuse(err)
	}
	sum := sha256.Sum256(cut)
	card.SHA256 = hex.EncodeToString(sum[:])
	path, err := card.write(cut, folder)
	if err != nil {
		return nil, err
	}
	b, err := ReadBackbone(path)
	return &Imported{b, before.size, int64(len(cut)), deviation}, err
}

// Vacant refuses what is no name for a backbone, and one that the folder has a backbone of.
func Vacant(name, folder string) error {
	if !namePattern.MatchString(name) {
		return hint.New(hint.Usage, fmt.Errorf("%q is no name for a backbone; letters, digits, dot, dash and underscore are, up to 64", name), "choose one with --name")
	}
	path := filepath.Join(folder, name+ending)
	_, err := os.Lstat(path)
	if err == nil {
		return hint.New(hint.Usage, fmt.Errorf("there is a backbone %s already: %s", name, path),
			"choose another name with --name; recipes that were made with it need it as it is")
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("backbone %s: %w", name, err)
	}
	return nil
}

type origin struct {
	size int64
	sum  string
}

// read brings the file as ONNX: as it is, or built from weights.
func (s *Source) read() ([]byte, origin, error) {
	info, err := os.Stat(s.File)
	if err != nil {
		return nil, origin{}, err
	}
	if info.Size() > onnx.MaxFile {
		return nil, origin{}, fmt.Errorf("the file has %d bytes; at most %d are read", info.Size(), onnx.MaxFile)
	}
	data, err := os.ReadFile(s.File)
	if err != nil {
		return nil, origin{}, err
	}
	sum := sha256.Sum256(data)
	from := origin{info.Size(), hex.EncodeToString(sum[:])}
	switch strings.ToLower(filepath.Ext(s.File)) {
	case ending:
		return data, from, nil
	case ".pth", ".pt", ".bin", ".safetensors":
	default:
		return nil, from, errors.New("the file's ending is not .onnx, .pth, .pt, .bin or .safetensors")
	}
	d, err := weights.Parse(data)
	if err != nil {
		return nil, from, err
	}
	if len(s.Layers) == 0 {
		s.Layers = []string{"layer1", "layer2", "layer3"}
	}
	model, name, err := weights.ResNet(d, s.Layers)
	if err != nil {
		return nil, from, err
	}
	if s.About == "" {
		s.About = fmt.Sprintf("%s, built from %s, SHA-256 %s", name, filepath.Base(s.File), from.sum)
	}
	if s.Std == ([3]float32{}) {
		s.Mean, s.Std = ImageNetMean, ImageNetStd
	}
	return model, from, nil
}

// preprocess takes what the file says of its preprocessing where nothing was asked for.
func (s *Source) preprocess(m *onnx.Model) error {
	if s.Std == ([3]float32{}) {
		mean, ok1 := m.Numbers("mean")
		std, ok2 := m.Numbers("std")
		if !ok1 || !ok2 {
			return hint.New(hint.Usage, fmt.Errorf("import %s: the file does not say how pictures are prepared for it", s.File),
				"add --preprocess imagenet (torchvision, timm), half (many MobileNets) or none, or --mean and --std")
		}
		s.Mean, s.Std = mean, std
	}
	for i := range s.Std {
		if !(s.Std[i] > 0) || math.IsInf(float64(s.Std[i]), 0) || math.IsNaN(float64(s.Mean[i])) || math.IsInf(float64(s.Mean[i]), 0) {
			return hint.New(hint.Usage, fmt.Errorf("import %s: mean %v and std %v; std must be positive", s.File, s.Mean, s.Std), "correct --mean and --std")
		}
	}
	return nil
}

// choose cuts the model at the named layers, or at the last activation of each stride, and fills in what the
// card says of them. It returns what the layers gave at the trials, for comparison.
func (r *Runtime) choose(m *onnx.Model, layers []string, card *Card) (expected [2][]result, err error) {
	var names []string
	for _, layer := range layers {
		name, err := m.Resolve(strings.TrimSpace(layer))
		if err != nil {
			return expected, err
		}
		names = append(names, name)
	}
	candidates := names
	if len(candidates) == 0 {
		candidates = m.Activations()
		for _, name := range m.Outputs() {
			if _, err := m.Resolve(name); err == nil && !slices.Contains(candidates, name) {
				candidates = append(candidates, name)
			}
		}
		if len(candidates) == 0 {
			return expected, errors.New("the network has no activation that linectl knows; name the layers with --layers")
		}
	}
	if err := m.Cut(candidates); err != nil {
		return expected, err
	}
	model, err := m.Encode()
	if err != nil {
		return expected, err
	}
	var all [2][]result
	for i, size := range trials {
		if all[i], err = r.try(model, card.Input, candidates, size[0], size[1]); err != nil {
			return expected, fmt.Errorf("the network does not run on a picture of %dx%d: %w", size[0], size[1], err)
		}
	}
	last := map[int]int{} // place of the last candidate of a stride
	var kept []int
	for i, name := range candidates {
		l, err := measure(name, all[0][i].shape, all[1][i].shape)
		switch {
		case len(names) > 0 && err != nil:
			return expected, err
		case len(names) > 0:
			kept = append(kept, i)
		case err == nil && l.Stride >= 4 && l.Stride <= 32:
			last[l.Stride] = i
		}
	}
	for _, i := range last {
		kept = append(kept, i)
	}
	if len(kept) == 0 {
		return expected, errors.New("no activation of the network is a map at stride 4, 8, 16 or 32 that follows the picture's size; name the layers with --layers")
	}
	slices.SortFunc(kept, func(a, b int) int {
		return cmp.Or(cmp.Compare(all[0][b].shape[2], all[0][a].shape[2]), cmp.Compare(a, b)) // finest first, then in the graph's order
	})
	var cut []string
	for _, i := range kept {
		l, _ := measure(candidates[i], all[0][i].shape, all[1][i].shape)
		card.Layers = append(card.Layers, l)
		cut = append(cut, l.Name)
		card.Multiple = max(card.Multiple, l.Stride)
		for t := range all {
			expected[t] = append(expected[t], all[t][i])
		}
	}
	card.PatchOf = patchOf(card.Layers)
	return expected, m.Cut(cut)
}

// patchOf is the choice for networks that nobody has tried on a part: strides 8 and 16, as PatchCore has it
// (layer2 and layer3 of a ResNet), or the nearest there is.
func patchOf(layers []Layer) []string {
	var names []string
	for _, stride := range []int{8, 16} {
		for _, l := range slices.Backward(layers) {
			if l.Stride == stride {
				names = append(names, l.Name)
				break
			}
		}
	}
	if len(names) == 0 {
		names = []string{layers[0].Name}
	}
	return names
}

// measure finds stride and channels of a layer from its shapes at the two trials.
func measure(name string, a, b []int64) (Layer, error) {
	if len(a) != 4 || len(b) != 4 || a[0] != 1 || a[1] != b[1] {
		return Layer{}, fmt.Errorf("layer %q gives %v and %v at two sizes of pictures; [1, channels, height, width] is needed", name, a, b)
	}
	if a[2] < 1 || a[1] < 1 || a[1] > 1<<16 {
		return Layer{}, fmt.Errorf("layer %q gives %v, which is no feature map", name, a)
	}
	stride := int64(trials[0][1]) / a[2]
	for i, shape := range [][]int64{a, b} {
		if shape[2]*stride != int64(trials[i][1]) || shape[3]*stride != int64(trials[i][0]) {
			return Layer{}, fmt.Errorf("layer %q gives %v at %dx%d, so its size does not follow the picture's; is the network tied to one size of input?",
				name, shape, trials[i][0], trials[i][1])
		}
	}
	return Layer{Name: name, Stride: int(stride), Channels: int(a[1])}, nil
}

// result is what one output gave.
type result struct {
	shape  []int64
	values []float32
}

// try runs a model once on noise and returns its outputs, whose shapes need not be known.
func (r *Runtime) try(model []byte, input string, outputs []string, width, height int) ([]result, error) {
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, flat(err)
	}
	defer options.Destroy()
	if err := options.SetIntraOpNumThreads(r.threads); err != nil {
		return nil, flat(err)
	}
	session, err := ort.NewDynamicAdvancedSessionWithONNXData(model, []string{input}, outputs, options)
	if err != nil {
		return nil, flat(err)
	}
	defer session.Destroy()
	in, err := r.NewTensor(1, 3, height, width)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	random := rand.New(rand.NewPCG(uint64(width), uint64(height)))
	for i := range in.Data() {
		in.Data()[i] = float32(random.NormFloat64())
	}
	values := make([]ort.Value, len(outputs)) // nil ones are allocated by the run
	defer func() {
		for _, v := range values {
			if v != nil {
				v.Destroy()
			}
		}
	}()
	if err := session.Run([]ort.Value{in.value}, values); err != nil {
		return nil, flat(err)
	}
	results := make([]result, len(outputs))
	for i, v := range values {
		t, ok := v.(*ort.Tensor[float32])
		if !ok {
			return nil, fmt.Errorf("layer %q is no tensor of float32", outputs[i])
		}
		for _, x := range t.GetData() {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return nil, fmt.Errorf("layer %q gives %g", outputs[i], x)
			}
		}
		results[i] = result{slices.Clone([]int64(t.GetShape())), slices.Clone(t.GetData())}
	}
	return results, nil
}

// compare runs the cut network as Open does and returns how far it is from what was expected.
func (r *Runtime) compare(cut []byte, card Card, expected [2][]result) (worst float64, err error) {
	names := make([]string, len(card.Layers))
	for i, l := range card.Layers {
		names[i] = l.Name
	}
	for t, size := range trials {
		got, err := r.try(cut, card.Input, names, size[0], size[1])
		if err != nil {
			return 0, fmt.Errorf("the cut network does not run: %w", err)
		}
		for i, name := range names {
			var greatest, off float64
			for j, want := range expected[t][i].values {
				greatest = max(greatest, math.Abs(float64(want)))
				off = max(off, math.Abs(float64(want)-float64(got[i].values[j])))
			}
			if greatest == 0 {
				return 0, fmt.Errorf("layer %q gives nothing but zeros", name)
			}
			worst = max(worst, off/greatest)
		}
	}
	// Another order of the same sums, as the optimiser may choose where fewer outputs are kept, stays far below.
	if worst > 1e-4 {
		return worst, fmt.Errorf("the cut network gives other features than the whole one; they differ by %.1e of the greatest", worst)
	}
	return worst, nil
}

// write puts the network and its card into the folder, the card last: a network without one is not used.
func (c Card) write(model []byte, folder string) (string, error) {
	text, err := toml.Marshal(c)
	if err != nil {
		return "", err
	}
	if _, err := parseCard(text); err != nil {
		return "", fmt.Errorf("card of %s: %w", c.Name, err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(folder, c.Name+ending)
	for _, file := range []struct {
		path string
		data []byte
	}{{path, model}, {strings.TrimSuffix(path, ending) + ".toml", text}} {
		if err := whole.Write(file.path, 0o644, whole.Bytes(file.data)); err != nil {
			return "", err
		}
	}
	return path, nil
}

// importFolder takes a folder with one ONNX file and its card, as another linectl has them.
func (r *Runtime) importFolder(s Source, folder string) (*Imported, error) {
	paths, _ := filepath.Glob(filepath.Join(s.File, "*"+ending)) // only a malformed pattern is an error
	if len(paths) != 1 {
		return nil, hint.New(hint.Usage, fmt.Errorf("import %s: the folder holds %d files that end in %s; one with its card is needed", s.File, len(paths), ending), "name the file itself")
	}
	if len(s.Layers) > 0 || s.Std != ([3]float32{}) {
		return nil, hint.New(hint.Usage, fmt.Errorf("import %s: layers and preprocessing of a folder are those of its card", s.File), "to change them, import the .onnx file itself")
	}
	b, err := ReadBackbone(paths[0])
	if err != nil {
		return nil, err
	}
	if s.Name != "" {
		b.Card.Name = s.Name
	}
	if s.Licence != "" {
		b.Licence = s.Licence
	}
	if err := Vacant(b.Name, folder); err != nil {
		return nil, err
	}
	for _, size := range trials {
		var names []string
		for _, l := range b.Layers {
			names = append(names, l.Name)
		}
		n, err := r.Open(b, names, size[0], size[1])
		if err != nil {
			return nil, err
		}
		n.Close()
	}
	path, err := b.Card.write(b.model, folder)
	if err != nil {
		return nil, err
	}
	size := int64(len(b.model))
	b, err = ReadBackbone(path)
	return &Imported{b, size, size, 0}, err
}
