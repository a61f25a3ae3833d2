"""Times linectl's engine on a GPU beside PyTorch on the same one: the same network, memory bank and picture.

    python tools/parity/gpu.py --engine ENGINE --network backbones/linectl_resnet18.onnx [--device cuda:0]

ENGINE is tools/parity/engine, built; LINECTL_ONNXRUNTIME names the ONNX Runtime that knows the device. Needs what
tools/backbone/requirements.txt lists. All begin with the prepared picture in the host's memory, [1, 3, size, size], and end with PatchCore's
greatest distance and the map of distances there. They take turns within one run. fp32 without TF32, as linectl computes, but for
the row that says so.
"""

import argparse
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import numpy as np
import torch

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "backbone")]
from evaluate import embed  # noqa: E402
from networks import Graph  # noqa: E402
from turns import Engine, timed  # noqa: E402


class PatchCore(torch.nn.Module):
    """The greatest distance of a patch to the nearest vector of the bank, and the map of distances."""

    def __init__(self, net: Graph, bank: torch.Tensor) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("bank", bank)
        self.register_buffer("norms", bank.square().sum(1))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps = self.net(x)
        patches = embed(maps)[0]
        squared = torch.addmm(self.norms, patches, self.bank.T, alpha=-2).amin(1) + patches.square().sum(1)
        distances = squared.clamp(min=0).sqrt()
        return distances.max(), distances.view(maps[0].shape[-2:])


def in_torch(model: PatchCore, picture: torch.Tensor, device: str, tf32: bool):  # noqa: ANN201
    @torch.inference_mode()
    def run() -> float:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
        score, distances = model(picture.to(device))
        distances.cpu()
        return score.item()

    return run


def replayed(model: PatchCore, picture: torch.Tensor, device: str):  # noqa: ANN201
    """The kernels recorded once as a CUDA graph and replayed: PyTorch without its own time per kernel."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    x = picture.to(device)
    with torch.inference_mode():
        aside = torch.cuda.Stream()
        with torch.cuda.stream(aside):
            for _ in range(5):
                model(x)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            score, distances = model(x)

    def run() -> float:
        x.copy_(picture)
        graph.replay()
        distances.cpu()
        return score.item()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", type=Path, required=True)
    parser.add_argument("--network", type=Path, required=True, help="ONNX file with its card beside it")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--bank", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=200)
    o = parser.parse_args()
    layers = tomllib.loads(o.network.with_suffix(".toml").read_text())["patch_of"]
    net = Graph(o.network, layers).eval()
    torch.manual_seed(1)
    picture = torch.randn(1, 3, o.size, o.size)
    with torch.inference_mode():
        bank = []
        while sum(map(len, bank)) < o.bank:
            bank.append(embed(net(torch.randn(1, 3, o.size, o.size)))[0])
        bank = torch.cat(bank)
        bank = bank[torch.randperm(len(bank))[: o.bank]].contiguous()
    folder = Path(tempfile.mkdtemp())
    (folder / "bank.f32").write_bytes(bank.numpy().tobytes())
    (folder / "picture.f32").write_bytes(picture.numpy().tobytes())

    model = PatchCore(net, bank).eval().to(o.device)
    contenders = {"PyTorch": timed(in_torch(model, picture, o.device, tf32=False))}
    if o.device.startswith("cuda"):
        contenders["PyTorch, TF32"] = timed(in_torch(model, picture, o.device, tf32=True))
        contenders["PyTorch, CUDA graph"] = timed(replayed(model, picture, o.device))
    contenders["linectl"] = Engine(o.engine, o.network, folder, bank.shape[1], o.size, "-device", o.device, "-precision", "fp32", "-score", "max")
    took, score = {name: [] for name in contenders}, {}
    for turn in range(o.rounds + 10):
        for name, run in contenders.items():
            time.sleep(0.005)
            milliseconds, score[name] = run()
            if turn >= 10:
                took[name].append(milliseconds)
    where = torch.cuda.get_device_name() if o.device.startswith("cuda") else "CPU"
    print(f"{o.network.stem}, {o.size}x{o.size}, bank {o.bank} x {bank.shape[1]}, {o.rounds} rounds; {where}, torch {torch.__version__}\n")
    ours = float(np.median(took["linectl"]))
    print(f"{'':24}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'min ms':>9}{'ratio':>8}  score")
    for name, times in took.items():
        p50, p95, p99 = np.percentile(times, [50, 95, 99])
        print(f"{name:24}{p50:9.2f}{p95:9.2f}{p99:9.2f}{min(times):9.2f}{p50 / ours:8.2f}  {score[name]:.6g}")


if __name__ == "__main__":
    main()
