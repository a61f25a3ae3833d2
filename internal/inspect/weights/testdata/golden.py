"""Writes what the tests of weights and network compare with, by PyTorch 2.12.0 and torchvision 0.27.0:

    python golden.py      # in this folder

small.pth and legacy.pth are the same few tensors in both forms of PyTorch's files; resnet.json holds figures of
torchvision's own ResNets, whose weights both sides make of one formula.
"""
import json
import math

import numpy as np
import torch
import torchvision

small = {
    "whole": torch.arange(6, dtype=torch.float32).reshape(2, 3) / 4,
    "half": torch.tensor([1.5, -2.0, 6e-8], dtype=torch.float16),
    "brain": torch.tensor([1.5, -256.0], dtype=torch.bfloat16),
    "double": torch.tensor([[0.1]], dtype=torch.float64),
    "count": torch.tensor(7),
}
shared = torch.arange(12, dtype=torch.float32)
small["turned"] = shared.reshape(3, 4).t()[1:3]  # a view: offset 1, strides (1, 4)
small["parameter"] = torch.nn.Parameter(shared[4:6])
torch.save({"epoch": -1, "state_dict": small}, "small.pth")
torch.save({"epoch": -1, "state_dict": small}, "legacy.pth", _use_new_zipfile_serialization=False)


def noise(n, k):
    """n numbers from 0 to 1, the k-th such row."""
    x = np.arange(n, dtype=np.uint32) + np.uint32(k * 1000003 % 2**32)
    for _ in range(2):
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x45D9F3B)
    x ^= x >> np.uint32(16)
    return x.astype(np.float64) / 2**32


figures = {}
for name in ["resnet18", "resnet50"]:
    net = getattr(torchvision.models, name)(weights=None).eval()
    state = net.state_dict()
    for k, key in enumerate(sorted(k for k in state if not k.endswith("num_batches_tracked"))):
        t = state[key]
        u = noise(t.numel(), k)
        if t.dim() > 1:
            u = (u - 0.5) * 2 * math.sqrt(3 / (t.numel() // t.shape[0]))
        elif key.endswith(("bias", "running_mean")):
            u = u - 0.5
        else:
            u = u + 0.5
        t.copy_(torch.from_numpy(u.astype(np.float32)).reshape(t.shape))
    # The test makes weights of these names and shapes.
    shapes = {k: list(v.shape) for k, v in state.items()}
    x = torch.from_numpy((noise(3 * 96 * 64, 9999) * 2 - 1).astype(np.float32)).reshape(1, 3, 96, 64)
    layers = {}
    with torch.no_grad():
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        for layer in ["layer1", "layer2", "layer3"]:
            x = getattr(net, layer)(x)
            flat = x.flatten().double()
            layers[layer] = {
                "shape": list(x.shape),
                "mean": flat.mean().item(),
                "rms": flat.square().mean().sqrt().item(),
                "every": 997,
                "values": [v.item() for v in flat[::997][:40]],
            }
    figures[name] = {"shapes": shapes, "layers": layers}
with open("../../network/testdata/resnet.json", "w") as f:
    json.dump(figures, f, separators=(",", ":"))
