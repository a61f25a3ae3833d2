"""Writes a student as linectl uses it: an ONNX file, its weights as float16, and the card beside it."""

import gzip
import hashlib
import json
import os
import struct

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

import networks
from half import halve

# How long the vectors of each layer are made, as a root mean square over renderings. PatchCore's distance joins the layers as they are,
# and how long a student makes them is chance. See README.md for the weight of the last.
LENGTHS = (10.0, 10.0, 15.0)
ABOUT = {
    "standard": "ResNet-18 up to layer3 with strides that smooth first and no max pooling, distilled on procedural renderings only; weights stored as float16",
    "large": "A residual network of half more than ResNet-34's width, distilled on procedural renderings only; weights stored as float16",
    "small": "A residual network of half ResNet-18's width with strides that smooth first, distilled on procedural renderings only; weights stored as float16",
}
CARD = """# What {name}.onnx is and how pictures go into it.
name = "{name}"
about = "{about}"
licence = "Apache-2.0"
sha256 = "{sha256}"

input = "image"               # [1, 3, height, width], RGB
mean = [0.485, 0.456, 0.406]  # input = (grey/255 - mean) / std, for R, G, B
std = [0.229, 0.224, 0.225]
multiple = 32                 # height and width of the input are multiples of this
patch_of = ["layer2", "layer3"] # what a patch is made of, finest first
"""
LAYER = """
[[layers]]
name = "{name}"
stride = {stride}
channels = {channels}
"""


class Writer:
    """Nodes and weights of the graph while it is written."""

    def __init__(self):
        self.nodes, self.weights = [], []

    def add(self, operator, inputs, output, **attributes):
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def smoothed(self, x, channels):
        """networks.smoothed of a tensor with so many channels."""
        output = x + networks.SMOOTHED
        weight = np.broadcast_to(networks.SMOOTH.astype(np.float32), (channels, 1, 3, 3))
        self.weights.append(numpy_helper.from_array(weight, output + ".weight"))
        return self.add("Conv", [x, output + ".weight"], output, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4, group=channels)

    def convolution(self, x, output, conv, bn, given=1.0, wanted=1.0, smooth=False):
        """A convolution with its normalisation folded into weight and bias, of an input that is given times as large as the
        student's, and with an output that is wanted times as large. smooth: it smooths first, in one with its weight."""
        scale = bn.weight / (bn.running_var + bn.eps).sqrt()
        weight, bias = conv.weight * scale.view(-1, 1, 1, 1) * (wanted / given), (bn.bias - bn.running_mean * scale) * wanted
        if smooth:
            weight = networks.with_smoothing(weight)
        sides = list(weight.shape[2:])
        for name, value in ((output + ".weight", weight), (output + ".bias", bias)):
            self.weights.append(numpy_helper.from_array(value.detach().numpy().astype(np.float32), name))
        return self.add("Conv", [x, output + ".weight", output + ".bias"], output, kernel_shape=sides, strides=list(conv.stride), pads=[side // 2 for side in sides] * 2)


@torch.no_grad()
def balance(net, x):
    """Factors that give the vectors of each layer their LENGTHS over the pictures x."""
    return [length / m.square().sum(1).mean().sqrt().item() for m, length in zip(net(x), LENGTHS)]


def model(net, source, factors):
    """The ONNX model of a student: input image, outputs layer1, layer2 and layer3, each that many times as large as the student's; operator
    set 13, free height and width. ReLU lets factors through, so they are in the weights."""
    w = Writer()
    given = 1.0
    x = w.add("Relu", [w.convolution("image", "stem", net.conv, net.bn, smooth=True)], "stem.relu")
    for i, stage in enumerate(net.stages, 1):
        for j, block in enumerate(stage):
            at = f"layer{i}.{j}"
            wanted = factors[i - 1]
            if block.conv1.stride[0] > 1:
                x = w.smoothed(x, block.conv1.in_channels)
            y = w.add("Relu", [w.convolution(x, at + ".conv1", block.conv1, block.bn1, given)], at + ".relu")
            y = w.convolution(y, at + ".conv2", block.conv2, block.bn2, 1.0, wanted)
            past = x if block.conv0 is None else w.convolution(x, at + ".conv0", block.conv0, block.bn0, given, wanted)
            given = wanted
            y = w.add("Add", [y, past], at + ".add")
            x = w.add("Relu", [y], f"layer{i}" if j == len(stage) - 1 else at)
    size = lambda stride: [f"height/{stride}", f"width/{stride}"] if stride > 1 else ["height", "width"]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, *size(1)])
    outputs = [
        helper.make_tensor_value_info(f"layer{i}", TensorProto.FLOAT, ["n", width, *size(stride)])
        for i, (width, stride) in enumerate(zip(net.widths, networks.STRIDES), 1)
    ]
    graph = helper.make_graph(w.nodes, "backbone", [image], outputs, w.weights)
    result = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="linectl", ir_version=7)
    text = lambda values: ",".join(map(str, values))
    helper.set_model_props(result, {"mean": text(networks.MEAN), "std": text(networks.STD), "range": "0..1 RGB", "source": source})
    return halve(result)


def golden(net, factors, path):
    """Writes what the student gives, by PyTorch in float32: linectl's tests hold the file against it. A gzipped safetensors file."""
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 3, 32, 64)).astype(np.float32))
    with torch.no_grad():
        arrays = {"image": x, **{f"layer{i}": m * f for i, (m, f) in enumerate(zip(net(x), factors), 1) if i > 1}}
    header, body = {}, b""
    for name, array in arrays.items():
        data = array.numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(gzip.compress(struct.pack("<Q", len(text)) + text + body, mtime=0))


def export(net, size, name, source, folder, pictures):
    """Writes name.onnx, its card name.toml and name.golden.gz into folder and gives the SHA-256 of the network. pictures, [n, 3, height, width] as the network
    takes them, balance its layers.

    Fails where the file's features, their factors apart, differ from the student's by more than a thousandth of their size.
    """
    factors = balance(net, pictures)
    data = model(net, source, factors).SerializeToString(deterministic=True)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, 128, 160)).astype(np.float32))
    with torch.no_grad():
        expected = [m.numpy() * factor for m, factor in zip(net(x), factors)]
    for i, (a, b) in enumerate(zip(onnxruntime.InferenceSession(data).run(None, {"image": x.numpy()}), expected), 1):
        error = np.linalg.norm(a - b) / np.linalg.norm(b)
        if not error < 1e-3:
            raise ValueError(f"{name}: layer{i} of the file is {error:.1e} from the network's")
    golden(net, factors, os.path.join(folder, name + ".golden.gz"))
    digest = hashlib.sha256(data).hexdigest()
    card = CARD.format(name=name, about=ABOUT[size], sha256=digest)
    for i, (width, stride) in enumerate(zip(net.widths, networks.STRIDES), 1):
        card += LAYER.format(name=f"layer{i}", stride=stride, channels=width)
    for ending, content in ((".onnx", data), (".toml", card.encode())):
        path = os.path.join(folder, name + ending)
        with open(path + ".new", "wb") as f:
            f.write(content)
        os.replace(path + ".new", path)
    return digest
