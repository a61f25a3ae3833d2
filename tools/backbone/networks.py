"""The teacher, read from an ONNX file, and the students."""

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STRIDES = (4, 8, 16)
SMOOTHED = ".smoothed"  # how its node is named in a file
SMOOTH = np.outer((1, 4, 1), (1, 4, 1)) / 36  # what goes before a stride


class Graph(nn.Module):
    """A network of Conv, Relu, Add and MaxPool, as ONNX files of folded residual networks are, run by PyTorch.

    Gives the tensors named in outputs. Any other operator is refused.
    """

    def __init__(self, path, outputs):
        super().__init__()
        graph = onnx.load(path).graph
        weights = {w.name: torch.from_numpy(numpy_helper.to_array(w).astype(np.float32)) for w in graph.initializer}
        self.input, self.outputs, self.steps = graph.input[0].name, list(outputs), []
        self.convolutions = nn.ModuleList()
        for node in graph.node:
            a = {x.name: onnx.helper.get_attribute_value(x) for x in node.attribute}
            if node.op_type == "Cast":  # weights stored as float16
                weights[node.output[0]] = weights[node.input[0]]
            elif node.op_type == "Conv":
                w = weights[node.input[1]]
                pads = a.get("pads", [0, 0, 0, 0])
                if pads[:2] != pads[2:]:
                    raise ValueError(f"{path}: {node.name}: uneven padding is not supported")
                groups, biased = a.get("group", 1), len(node.input) > 2
                conv = nn.Conv2d(w.shape[1] * groups, w.shape[0], w.shape[2:], a.get("strides", [1, 1]), pads[:2], groups=groups, bias=biased)
                conv.weight.data = w
                if biased:
                    conv.bias.data = weights[node.input[2]]
                self.steps.append((len(self.convolutions), [node.input[0]], node.output[0], None))
                self.convolutions.append(conv)
            elif node.op_type in ("Relu", "Add", "MaxPool"):
                self.steps.append((node.op_type, list(node.input), node.output[0], a))
            else:
                raise ValueError(f"{path}: {node.name}: operator {node.op_type} is not supported")
        while self.steps[-1][2] not in self.outputs:  # what no output needs
            self.steps.pop()

    def forward(self, x):
        at = {self.input: x}
        for what, inputs, output, a in self.steps:
            if what == "Relu":
                at[output] = F.relu(at[inputs[0]])
            elif what == "Add":
                at[output] = at[inputs[0]] + at[inputs[1]]
            elif what == "MaxPool":
                at[output] = F.max_pool2d(at[inputs[0]], a["kernel_shape"], a["strides"], a["pads"][:2])
            else:
                at[output] = self.convolutions[what](at[inputs[0]])
        return [at[name] for name in self.outputs]


def session(network, threads):
    """An ONNX Runtime session of a file, or of its bytes, on the CPU, whose threads leave the cores to others while they wait."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(network, options)


class OnCPU:
    """What Graph gives, computed by ONNX Runtime, which takes two thirds of PyTorch's time on a CPU. It takes any operators."""

    def __init__(self, path, outputs, threads):
        model = onnx.load(path)
        given = {o.name for o in model.graph.output}
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs if name not in given)
        self.session = session(model.SerializeToString(), threads)
        self.input, self.outputs = model.graph.input[0].name, list(outputs)

    def __call__(self, x):
        return [torch.from_numpy(m) for m in self.session.run(self.outputs, {self.input: x.contiguous().numpy()})]


def smoothed(x, padding=1):
    """Maps [n, c, h, w] without what a stride of 2 would fold into other patterns (Zhang, "Making Convolutional Networks Shift-Invariant
    Again", 2019): along each side a cubic B-spline."""
    return F.conv2d(x, x.new_tensor(SMOOTH).expand(x.shape[1], 1, 3, 3), padding=padding, groups=x.shape[1])


def with_smoothing(weight):
    """The weight [outputs, inputs, h + 2, w + 2] of a convolution that smooths first, all in one."""
    one = F.conv2d(weight.flatten(0, 1)[:, None], weight.new_tensor(SMOOTH)[None, None], padding=2)
    return one.unflatten(0, weight.shape[:2])[:, :, 0]


def without_smoothing(weight):
    """What with_smoothing made into weight."""
    h, w = (side - 2 for side in weight.shape[2:])
    each = with_smoothing(torch.eye(h * w).view(h * w, 1, h, w)).flatten(1)
    return (weight.flatten(2) @ torch.linalg.pinv(each)).unflatten(2, (h, w))


class Block(nn.Module):
    """Two 3x3 convolutions beside the way past them, as in ResNet-18 (He et al., 2016). A stride smooths first."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv0 = self.bn0 = None
        if stride > 1 or inputs != outputs:
            self.conv0, self.bn0 = nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)

    def forward(self, x):
        if self.conv1.stride[0] > 1:
            x = smoothed(x)
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.conv0 is None else self.bn0(self.conv0(x))))


class Student(nn.Module):
    """A residual network with maps at strides 4, 8 and 16.

    stem: channels after stride 2; widths, blocks: channels and residual blocks at each stride.
    """

    def __init__(self, stem, widths, blocks):
        super().__init__()
        self.widths = widths
        self.conv, self.bn = nn.Conv2d(3, stem, 3, 2, bias=False), nn.BatchNorm2d(stem)
        inputs, self.stages = stem, nn.ModuleList()
        for width, count in zip(widths, blocks):
            self.stages.append(nn.Sequential(*[Block(inputs if j == 0 else width, width, 2 if j == 0 else 1) for j in range(count)]))
            inputs = width

    def forward(self, x):
        x = F.relu(self.bn(self.conv(smoothed(x, 2))))  # padded for both, so that one convolution can do it
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def student(size):
    """A new student: standard is ResNet-18 to layer3, small is for processors without AVX-512, large for GPUs.

    The first block strides in place of max pooling, which keeps the greatest of the noise on faint surfaces."""
    if size == "standard":
        return Student(64, (64, 128, 256), (2, 2, 2))
    if size == "small":
        return Student(16, (24, 64, 128), (1, 2, 2))
    if size == "large":
        return Student(64, (96, 192, 384), (3, 4, 5))
    raise ValueError(f"there is no size {size}; there are small, standard and large")


def convolutions(net):
    """The convolutions of a student with their normalisations, in the order of the ONNX file."""
    yield net.conv, net.bn
    for stage in net.stages:
        for block in stage:
            yield block.conv1, block.bn1
            yield block.conv2, block.bn2
            if block.conv0 is not None:
                yield block.conv0, block.bn0


@torch.no_grad()
def start_from(net, path, x):
    """Takes the weights of an exported file. Its normalisation is folded into the convolutions: each student's
    normalisation is set to give back what the folded one gave on the normalised pictures x, so that training can go on."""
    graph = onnx.load(path).graph
    weights = {w.name.removesuffix(".half"): numpy_helper.to_array(w).astype(np.float32) for w in graph.initializer}
    nodes = [n for n in graph.node if n.op_type == "Conv" and not n.name.endswith(SMOOTHED)]
    pairs = list(convolutions(net))
    for (conv, bn), node in zip(pairs, nodes):
        w, b = (torch.from_numpy(weights[name].copy()) for name in node.input[1:3])
        if conv is net.conv and w.shape[2] == conv.kernel_size[0] + 2:  # of a file from before smoothing it has its size
            w = without_smoothing(w)
        if conv.weight.shape != w.shape:
            raise ValueError(f"{path}: {node.name} is {tuple(w.shape)}, the student has {tuple(conv.weight.shape)}")
        conv.weight.copy_(w)
        bn.bias.copy_(b)  # until its statistics are known: output = folded output
    hooks = []

    def settle(bn):
        def before(_, inputs):
            y = inputs[0].float()
            mean, var = y.mean((0, 2, 3)), y.var((0, 2, 3))
            bn.running_mean.copy_(mean)
            bn.running_var.copy_(var)
            bn.weight.copy_((var + bn.eps).sqrt())
            bn.bias.add_(mean)

        return before

    for _, bn in pairs:
        hooks.append(bn.register_forward_pre_hook(settle(bn)))
    net.eval()(x)
    for hook in hooks:
        hook.remove()
