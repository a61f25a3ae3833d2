"""Times linectl's engine beside anomalib on the same backbone, memory bank and picture.

All of them begin with the prepared picture in memory, [1, 3, size, size], and end with the score and the
anomaly map. They take turns within one run, so that whatever else the machine does touches all alike.
anomalib stands here as PyTorch runs it, as its ONNX export in ONNX Runtime, and as that export in
OpenVINO; its maps are enlarged and smoothed, and so is linectl's in the rows that say so. The networks have
seeded random weights: time does not depend on what they know.
"""

import argparse
import hashlib
import time
from pathlib import Path

import numpy as np
import onnxruntime
import openvino
import timm
import torch
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from golden import network, pictures
from turns import Engine, timed

LAYERS = ["layer2", "layer3"]
CARD = """name = "{name}"
about = "seeded random weights"
licence = "none"
sha256 = "{sha256}"
input = "image"
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
patch_of = ["layer2", "layer3"]
multiple = 32

[[layers]]
name = "layer2"
stride = 8
channels = {channels[0]}

[[layers]]
name = "layer3"
stride = 16
channels = {channels[1]}
"""


class Cut(torch.nn.Module):
    """The layers alone, as linectl takes them."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.net(x)[1:])


class Scores(torch.nn.Module):
    """anomalib's model with plain outputs."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        result = self.model(x)
        return result.pred_score, result.anomaly_map


class Features(torch.nn.Module):
    """The network where anomalib has its own extractor."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return dict(zip(("layer1", "layer2", "layer3"), self.net(x), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="resnet18", choices=["resnet18", "resnet50", "wide_resnet50_2"])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--bank", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--engine", type=Path, required=True, help="tools/parity/engine, built")
    parser.add_argument("--folder", type=Path, required=True, help="for the files in between")
    o = parser.parse_args()
    o.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(o.threads)

    net = network(o.network)
    model = PatchcoreModel(layers=LAYERS, backbone=o.network, pre_trained=False)
    model.feature_extractor = Features(net)
    picture = pictures(1, o.size, 3)
    with torch.no_grad():
        model.train()
        for x in pictures(1 + 2 * o.bank * 64 // o.size**2, o.size, 1).split(1):
            model(x)
        every = torch.vstack(model.embedding_store)
        model.memory_bank = every[torch.randperm(len(every), generator=torch.Generator().manual_seed(2))[: o.bank]].clone()
        model.embedding_store.clear()
        model.eval()
        channels = [t.shape[1] for t in net(picture)][1:]

    (o.folder / "bank.f32").write_bytes(model.memory_bank.numpy().tobytes())
    (o.folder / "picture.f32").write_bytes(picture.numpy().tobytes())
    export = {"dynamo": False, "opset_version": 14, "do_constant_folding": True}
    backbone = o.folder / "backbone.onnx"
    axes = {name: {0: "n", 2: "h", 3: "w"} for name in ("image", *LAYERS)}
    torch.onnx.export(Cut(net).eval(), (picture,), backbone, input_names=["image"], output_names=LAYERS, dynamic_axes=axes, **export)
    sha256 = hashlib.sha256(backbone.read_bytes()).hexdigest()
    backbone.with_suffix(".toml").write_text(CARD.format(name=o.network, sha256=sha256, channels=channels))
    whole = o.folder / "anomalib.onnx"
    torch.onnx.export(Scores(model).eval(), (picture,), whole, input_names=["input"], output_names=["score", "map"], **export)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = o.threads
    session = onnxruntime.InferenceSession(whole, options, providers=["CPUExecutionProvider"])
    compiled = openvino.Core().compile_model(
        openvino.convert_model(whole), "CPU",
        {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": o.threads, "INFERENCE_PRECISION_HINT": "f32"})  # fmt: skip
    tensor = picture.numpy()

    def in_torch() -> float:
        with torch.inference_mode():
            return model(picture).pred_score.item()

    dim = sum(channels)
    contenders = {
        "anomalib, PyTorch": timed(in_torch),
        "anomalib, ONNX Runtime": timed(lambda: session.run(None, {"input": tensor})[0].item()),
        "anomalib, OpenVINO": timed(lambda: compiled(tensor)[0].item()),
        "linectl, fp32 bank": Engine(o.engine, backbone, o.folder, dim, o.size, "-threads", str(o.threads), "-precision", "fp32"),
        "linectl, int8 bank": Engine(o.engine, backbone, o.folder, dim, o.size, "-threads", str(o.threads)),
        "linectl, int8 bank and map": Engine(o.engine, backbone, o.folder, dim, o.size, "-threads", str(o.threads), "-map"),
        "linectl, int8 bank and net": Engine(o.engine, backbone, o.folder, dim, o.size, "-threads", str(o.threads), "-int8"),
    }
    took = {name: [] for name in contenders}
    score = {}
    for turn in range(o.rounds + 5):
        for name, run in contenders.items():
            # Threads of the one before that still spin would take the core from this one.
            time.sleep(0.02)
            milliseconds, score[name] = run()
            if turn >= 5:
                took[name].append(milliseconds)

    versions = f"torch {torch.__version__}, timm {timm.__version__}, onnxruntime {onnxruntime.__version__}, openvino {openvino.__version__.split('-')[0]}"
    print(f"{o.network}, {o.size}x{o.size}, bank {o.bank} x {dim}, {o.threads} threads, {o.rounds} rounds; {versions}\n")
    medians = {name: float(np.median(times)) for name, times in took.items()}
    ours = medians["linectl, int8 bank"]
    print(f"{'':28}{'p50 ms':>9}{'p95 ms':>9}{'min ms':>9}{'ratio':>8}  score")
    for name, times in took.items():
        print(f"{name:28}{medians[name]:9.1f}{np.percentile(times, 95):9.1f}{min(times):9.1f}{medians[name] / ours:8.2f}  {score[name]:.6g}")
    print("\nratio: how many times as long as linectl with an int8 bank; with the net in int8 as well, PyTorch takes "
          f"{medians['anomalib, PyTorch'] / medians['linectl, int8 bank and net']:.2f} and the faster of the exports "
          f"{min(medians['anomalib, ONNX Runtime'], medians['anomalib, OpenVINO']) / medians['linectl, int8 bank and net']:.2f} times as long")  # fmt: skip


if __name__ == "__main__":
    main()
