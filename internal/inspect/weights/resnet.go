package weights

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"linectl/internal/inspect/onnx"
)

// resnet is a network of He et al. 2015 (https://arxiv.org/abs/1512.03385), as torchvision and timm name its
// parts; a bottleneck's stride lies at its 3x3 convolution.
type resnet struct {
	name   string
	deep   bool   // of bottlenecks: three convolutions a block in place of two
	width  int    // channels of the first block's second to last convolution
	blocks [4]int // in layer1 to layer4
}

var resnets = []resnet{
	{"ResNet-18", false, 64, [4]int{2, 2, 2, 2}},
	{"ResNet-34", false, 64, [4]int{3, 4, 6, 3}},
	{"ResNet-50", true, 64, [4]int{3, 4, 6, 3}},
	{"WideResNet-50-2", true, 128, [4]int{3, 4, 6, 3}},
}

// epsilon is added to the variance in batch normalisation; PyTorch's default, which all four networks use.
const epsilon = 1e-5

// InputName and the layers' names are those of the models that ResNet builds.
const InputName = "image"

// ResNet builds the network that the weights are of, up to the last of the named layers (layer1 to layer4),
// with batch normalisation folded into the convolutions: input [n, 3, height, width], outputs the layers. It
// also tells the network's name. Weights of another network are refused.
func ResNet(d Dict, layers []string) (model []byte, name string, err error) {
	net, err := recognise(d)
	if err != nil {
		return nil, "", err
	}
	last := 0
	for _, layer := range layers {
		n := slices.Index([]string{"layer1", "layer2", "layer3", "layer4"}, layer) + 1
		if n == 0 {
			return nil, "", fmt.Errorf("a %s has no layer %q; it has layer1, layer2, layer3 and layer4", net.name, layer)
		}
		last = max(last, n)
	}
	b := &builder{weights: d}
	b.graph.Input(InputName, 0, 3, 0, 0)
	b.conv("conv1", "conv1.weight", "bn1", InputName, 3, 2, 3)
	b.relu("conv1.relu", "conv1")
	b.graph.Node("MaxPool", "pool", []string{"conv1.relu"}, onnx.Ints("kernel_shape", 3, 3), onnx.Ints("strides", 2, 2), onnx.Ints("pads", 1, 1, 1, 1))
	at, channels := "pool", b.out["conv1"]
	for l := 1; l <= last; l++ {
		for i := range net.blocks[l-1] {
			block := fmt.Sprintf("layer%d.%d", l, i)
			stride := 1
			if l > 1 && i == 0 {
				stride = 2
			}
			name := block
			if i == net.blocks[l-1]-1 {
				name = fmt.Sprintf("layer%d", l)
			}
			channels = b.block(name, block, at, channels, stride, net.deep)
			at = name
		}
		if slices.Contains(layers, at) {
			b.graph.Output(at, 0, channels, 0, 0)
		}
	}
	return b.graph.Encode(), net.name, b.err
}

// recognise finds the network by the number and form of its blocks.
func recognise(d Dict) (resnet, error) {
	if _, ok := d["conv1.weight"]; !ok {
		return resnet{}, errors.New("these are no weights of a ResNet of torchvision or timm: conv1.weight is missing")
	}
	var found resnet
	for l := range found.blocks {
		for {
			if _, ok := d[fmt.Sprintf("layer%d.%d.conv1.weight", l+1, found.blocks[l])]; !ok {
				break
			}
			found.blocks[l]++
		}
	}
	_, found.deep = d["layer1.0.conv3.weight"]
	if w := d["layer1.0.conv2.weight"]; len(w.Shape) == 4 {
		found.width = w.Shape[0]
	}
	for _, net := range resnets {
		if found.deep == net.deep && found.width == net.width && found.blocks == net.blocks {
			return net, net.pure(d)
		}
	}
	form := "two"
	if found.deep {
		form = "three"
	}
	return resnet{}, fmt.Errorf("these weights have %v blocks of %s convolutions of width %d; ResNet-18, -34, -50 and WideResNet-50-2 are built. "+
		"Any other network can be imported as ONNX", found.blocks, form, found.width)
}

// pure refuses weights with parts that a plain ResNet lacks: without them it would be another network.
func (net resnet) pure(d Dict) error {
	known := []string{"conv1.weight", "downsample.0.weight", "conv2.weight"}
	if net.deep {
		known = append(known, "conv3.weight")
	}
	for _, norm := range []string{"bn1", "bn2", "bn3", "downsample.1"} {
		for _, part := range normal {
			known = append(known, norm+part)
		}
		known = append(known, norm+".num_batches_tracked")
	}
	for name := range d {
		if strings.HasPrefix(name, "fc.") {
			continue
		}
		local := name
		if rest, ok := strings.CutPrefix(name, "layer"); ok { // layerL.B.
			if parts := strings.SplitN(rest, ".", 3); len(parts) == 3 {
				local = parts[2]
			}
		}
		if !slices.Contains(known, local) {
			return fmt.Errorf("the weights hold %q, which a plain %s lacks: this is another network. Import it as ONNX", name, net.name)
		}
	}
	return nil
}

var normal = []string{".weight", ".bias", ".running_mean", ".running_var"}

// builder puts a graph together; the first mistake stays in err.
type builder struct {
	graph   onnx.Graph
	weights Dict
	out     map[string]int // channels that a convolution gives
	err     error
}

func (b *builder) fail(format string, a ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, a...)
	}
}

// block adds one residual block and returns its channels.
func (b *builder) block(name, block, from string, channels, stride int, deep bool) int {
	part := func(s string) string { return block + "." + s }
	b.conv(part("conv1"), part("conv1.weight"), part("bn1"), from, channels, pick(deep, 1, stride), pick(deep, 0, 1))
	b.relu(part("relu1"), part("conv1"))
	b.conv(part("conv2"), part("conv2.weight"), part("bn2"), part("relu1"), b.out[part("conv1")], pick(deep, stride, 1), 1)
	last := part("conv2")
	if deep {
		b.relu(part("relu2"), last)
		last = part("conv3")
		b.conv(last, part("conv3.weight"), part("bn3"), part("relu2"), b.out[part("conv2")], 1, 0)
	}
	short, width := from, channels
	if _, ok := b.weights[part("downsample.0.weight")]; ok {
		short = part("downsample")
		b.conv(short, part("downsample.0.weight"), part("downsample.1"), from, channels, stride, 0)
		width = b.out[short]
	}
	if width != b.out[last] || short == from && stride != 1 {
		b.fail("%s: the shortcut has %d channels at stride 1 and the block %d at stride %d", block, width, b.out[last], stride)
	}
	b.graph.Node("Add", part("sum"), []string{last, short})
	b.relu(name, part("sum"))
	return b.out[last]
}

func pick(first bool, a, b int) int {
	if first {
		return a
	}
	return b
}

func (b *builder) relu(name, from string) { b.graph.Node("Relu", name, []string{from}) }

// conv adds a square convolution that is followed by batch normalisation: w' = w g/sqrt(v+e) and
// bias = b - m g/sqrt(v+e), with scale g, shift b, mean m and variance v of each channel (Ioffe and Szegedy 2015).
func (b *builder) conv(name, weight, norm, from string, channels, stride, pad int) {
	if b.out == nil {
		b.out = map[string]int{}
	}
	w, ok := b.weights[weight]
	side := 2*pad + 1
	if !ok || len(w.Shape) != 4 || w.Shape[0] < 1 || w.Shape[1] != channels || w.Shape[2] != side || w.Shape[3] != side {
		b.fail("%s has the shape %v; [n %d %d %d] is needed", weight, w.Shape, channels, side, side)
		return
	}
	out := w.Shape[0]
	var of [4][]float32 // scale, shift, mean, variance
	for i, part := range normal {
		t := b.weights[norm+part]
		if len(t.Shape) != 1 || t.Shape[0] != out {
			b.fail("%s%s has the shape %v; [%d] is needed", norm, part, t.Shape, out)
			return
		}
		of[i] = t.Values
	}
	each := len(w.Values) / out
	folded, bias := make([]float32, len(w.Values)), make([]float32, out)
	for c := range out {
		if of[3][c] < 0 {
			b.fail("%s.running_var is negative at %d: %g", norm, c, of[3][c])
			return
		}
		scale := float64(of[0][c]) / math.Sqrt(float64(of[3][c])+epsilon)
		bias[c] = float32(float64(of[1][c]) - float64(of[2][c])*scale)
		for i := c * each; i < (c+1)*each; i++ {
			folded[i] = float32(float64(w.Values[i]) * scale)
		}
	}
	b.out[name] = out
	b.graph.Float32s(weight, folded, out, channels, side, side)
	b.graph.Float32s(norm, bias, out)
	p := int64(pad)
	b.graph.Node("Conv", name, []string{from, weight, norm}, onnx.Ints("kernel_shape", int64(side), int64(side)),
		onnx.Ints("strides", int64(stride), int64(stride)), onnx.Ints("pads", p, p, p, p))
}
