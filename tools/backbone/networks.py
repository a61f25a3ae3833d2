"""The teacher, read from an ONNX file, and the students."""

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STRIDES = (4, 8, 16)


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
                conv = nn.Conv2d(w.shape[1] * a.get("group", 1), w.shape[0], w.shape[2:], a.get("strides", [1, 1]), pads[:2], groups=a.get("group", 1))
                conv.weight.data, conv.bias.data = w, weights[node.input[2]]
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


class Block(nn.Module):
    """Two 3x3 convolutions beside the way past them, as in ResNet-18 (He et al., 2016)."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv0 = self.bn0 = None
        if stride > 1 or inputs != outputs:
            self.conv0, self.bn0 = nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.conv0 is None else self.bn0(self.conv0(x))))


class Student(nn.Module):
    """A residual network with maps at strides 4, 8 and 16.

    stem: channels after stride 2; widths, blocks: channels and residual blocks at each stride.
    """

    def __init__(self, stem, widths, blocks, pool):
        super().__init__()
        self.widths = widths
        self.conv, self.bn = nn.Conv2d(3, stem, 7 if pool else 3, 2, 3 if pool else 1, bias=False), nn.BatchNorm2d(stem)
        self.pool = nn.MaxPool2d(3, 2, 1) if pool else None
        inputs, self.stages = stem, nn.ModuleList()
        for i, (width, count) in enumerate(zip(widths, blocks)):
            stride = 1 if pool and i == 0 else 2
            self.stages.append(nn.Sequential(*[Block(inputs if j == 0 else width, width, stride if j == 0 else 1) for j in range(count)]))
            inputs = width

    def forward(self, x):
        x = F.relu(self.bn(self.conv(x)))
        if self.pool is not None:
            x = self.pool(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def student(size):
    """A new student: standard is ResNet-18 to layer3, small is for processors without AVX-512, large for GPUs.

    Where pool is False the first block strides in place of max pooling, which keeps the greatest of the noise on faint surfaces."""
    if size == "standard":
        return Student(64, (64, 128, 256), (2, 2, 2), pool=False)
    if size == "small":
        return Student(32, (32, 96, 192), (1, 2, 2), pool=False)
    if size == "large":
        return Student(64, (96, 192, 384), (3, 4, 5), pool=False)
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
    nodes = [n for n in graph.node if n.op_type == "Conv"]
    pairs = list(convolutions(net))
    for (conv, bn), node in zip(pairs, nodes):
        w, b = (torch.from_numpy(weights[name].copy()) for name in node.input[1:3])
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
