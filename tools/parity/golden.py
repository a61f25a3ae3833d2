"""Writes the golden files that linectl's PatchCore and PaDiM are held against.

Everything that is compared is computed by anomalib's own classes. Only the network in front of them is
run beforehand: its feature maps are rounded to float16, stored, and handed to anomalib as they are
stored, so that both sides start from the same numbers and the files stay small. The networks have
seeded random weights: for arithmetic those are as good as trained ones.
"""

import argparse
import gzip
from importlib.metadata import version
from pathlib import Path

import timm
import torch
from anomalib.models.image.padim.torch_model import PadimModel
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from safetensors.torch import save
from torch.nn import functional as F


class Stored(torch.nn.Module):
    """Stands where anomalib runs its network and gives the stored feature maps of the picture at hand."""

    def __init__(self) -> None:
        super().__init__()
        self.features: dict[str, torch.Tensor] = {}

    def forward(self, _: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: value.float() for name, value in self.features.items()}


def network(name: str) -> torch.nn.Module:
    """A network with seeded random weights whose normalisation fits what goes through it."""
    torch.manual_seed(7)
    net = timm.create_model(name, pretrained=False, features_only=True, out_indices=(1, 2, 3))
    net.train()
    with torch.no_grad():
        for _ in range(20):
            net(pictures(8, 64, 1000 + _))
    return net.eval()


def pictures(count: int, size: int, seed: int) -> torch.Tensor:
    """Smooth random pictures [count, 3, size, size], as a normalised photograph's range."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, size // 8, size // 8, generator=generator)
    fine = torch.randn(count, 3, size, size, generator=generator)
    return F.interpolate(coarse, size=(size, size), mode="bicubic") + 0.1 * fine


@torch.no_grad()
def features(net: torch.nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    return {f"layer{i + 1}": value.half() for i, value in enumerate(net(x))}


@torch.no_grad()
def patchcore(net: torch.nn.Module, name: str, tests: int, rows: int) -> dict[str, torch.Tensor]:
    size, layers = 64, ["layer2", "layer3"]
    model = PatchcoreModel(layers=layers, backbone=name, pre_trained=False)
    model.feature_extractor = Stored()
    out = {}

    model.train()
    for x in pictures(4, size, 1).split(1):
        model.feature_extractor.features = {k: v for k, v in features(net, x).items() if k in layers}
        model(x)
    every = torch.vstack(model.embedding_store)
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(2))[:rows]
    out["bank"] = every[order].half()
    model.memory_bank = out["bank"].float()

    model.eval()
    for i, x in enumerate(pictures(tests, size, 3).split(1)):
        model.feature_extractor.features = {k: v for k, v in features(net, x).items() if k in layers}
        for layer, value in model.feature_extractor.features.items():
            out[f"{i}.{layer}"] = value[0]
        model.num_neighbors = 9
        result = model(x)
        out[f"{i}.reweighted"] = result.pred_score.reshape(1)
        out[f"{i}.map"] = result.anomaly_map[0, 0]
        model.num_neighbors = 1
        out[f"{i}.max"] = model(x).pred_score.reshape(1)
    return out


@torch.no_grad()
def padim(net: torch.nn.Module, name: str, training: int, dims: int) -> dict[str, torch.Tensor]:
    size, layers = 32, ["layer1", "layer2", "layer3"]
    torch.manual_seed(11)
    model = PadimModel(backbone=name, layers=layers, pre_trained=False, n_features=dims)
    model.feature_extractor = Stored()
    out = {"dims": model.idx.int()}

    model.train()
    for i, x in enumerate(pictures(training, size, 4).split(1)):
        model.feature_extractor.features = features(net, x)
        for layer, value in model.feature_extractor.features.items():
            out[f"training{i}.{layer}"] = value[0]
        model(x)
    model.fit()

    model.eval()
    x = pictures(1, size, 5)
    model.feature_extractor.features = features(net, x)
    for layer, value in model.feature_extractor.features.items():
        out[f"0.{layer}"] = value[0]
    result = model(x)
    out["0.score"] = result.pred_score.reshape(1)
    out["0.map"] = result.anomaly_map[0, 0]
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    made_by = ", ".join(f"{p} {version(p)}" for p in ("anomalib", "torch", "timm"))
    for name, tests, rows, training, dims in (("resnet18", 2, 64, 8, 24), ("wide_resnet50_2", 1, 48, 4, 32)):
        net = network(name)
        for method, arrays in (("patchcore", patchcore(net, name, tests, rows)), ("padim", padim(net, name, training, dims))):
            path = folder / method / "testdata" / f"{name}.safetensors.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            data = save({k: v.contiguous() for k, v in arrays.items()}, {"about": f"{method}, {name}; {made_by}"})  # one entry: their order is not kept
            path.write_bytes(gzip.compress(data, 9, mtime=0))
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
            for key in sorted(arrays):
                if arrays[key].numel() == 1:
                    print(f"  {key} {arrays[key].item():.6g}")


if __name__ == "__main__":
    main()
