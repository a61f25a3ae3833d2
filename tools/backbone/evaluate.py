"""How well networks serve plain PatchCore (Roth et al., 2022), computed apart from linectl: a measure while developing.

    python tools/backbone/evaluate.py --data DIR NETWORK.onnx …

For each set of DIR (NAME.csv with columns split, label, path) and for rendered products of designs that training does not use:
the AUROC of the greatest patch distance, maps of stride 8 and 16 averaged over 3x3, bank of 2,000 by greedy k-center from
40,000 patches by chance. magnetic_tile is sampled at even distances (200 good to learn, 120 good and 150 bad to test).
"""

import argparse
import csv
import json
import os

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import networks
import render

SIZES = {"figure": (320, 224), "magnetic_tile": (256, 256)}  # width, height
SAMPLE = (200, 120, 150)
BANK, CANDIDATES = 2000, 40_000
PRODUCTS = 8


def auroc(good, bad):
    """The chance that a bad picture scores above a good one; ties count half."""
    good, bad = np.asarray(good)[:, None], np.asarray(bad)[None]
    return float((bad > good).mean() + 0.5 * (bad == good).mean())


def k_center(x, count, seed=0):
    """Greedy k-center: rows of x so that the farthest row is near to one of them."""
    norms = (x**2).sum(1)
    chosen = torch.empty(count, dtype=torch.long)
    chosen[0] = int(np.random.default_rng(seed).integers(len(x)))
    nearest = torch.full((len(x),), torch.inf)
    for i in range(count):
        if i:
            chosen[i] = nearest.argmax()
        c = x[chosen[i]]
        nearest = torch.minimum(nearest, norms - 2 * (x @ c) + c @ c)
    return x[chosen]


def embed(maps):
    """Patches of one or more pictures, [n, positions, channels], from maps [n, c, h, w], finest first."""
    size = maps[0].shape[-2:]
    pooled = [F.avg_pool2d(m, 3, 1, 1) for m in maps]
    pooled = [m if m.shape[-2:] == size else F.interpolate(m, size=size, mode="bilinear") for m in pooled]
    return torch.cat(pooled, 1).flatten(2).transpose(1, 2)


def memory_bank(learn, bank=BANK, candidates=CANDIDATES, seed=0):
    """So many patches of pictures [positions, channels], chosen among candidates by chance."""
    patches = torch.cat(learn)
    keep = torch.from_numpy(np.random.default_rng(seed).permutation(len(patches))[:candidates])
    return k_center(patches[keep], min(bank, len(keep)), seed)


def patchcore(learn, test, bank=BANK, candidates=CANDIDATES):
    """The greatest patch distance of each test picture; learn and test are lists of [positions, channels]."""
    bank = memory_bank(learn, bank, candidates)
    return [float(torch.cdist(p, bank).min(1).values.max()) for p in test]


def read(path, size):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR))


def even(rows, count):
    return rows if len(rows) <= count else [rows[i * len(rows) // count] for i in range(count)]


def real_set(data, name):
    """Pictures to learn, and pictures to test with whether each is bad."""
    with open(os.path.join(data, name + ".csv"), newline="") as f:
        rows = list(csv.DictReader(f))
    parts = [
        [r for r in rows if r["split"] == "train"],
        [r for r in rows if r["split"] == "test" and r["label"] == "good"],
        [r for r in rows if r["split"] == "test" and r["label"] != "good"],
    ]
    size = SIZES.get(name, (256, 256))
    learn, good, bad = ([read(os.path.join(data, r["path"]), size) for r in even(p, n)] for p, n in zip(parts, SAMPLE))
    return learn, good, bad


def rendered_set(product):
    """A rendered product: a design beyond those of training."""
    design = render.DESIGNS + product
    draw = lambda start, count, defects: [render.picture(99, 1000 * product + start + i, design, defects)[0] for i in range(count)]
    return draw(0, 24, 0), draw(100, 12, 0), draw(200, 24, 1)


class Network:
    """An ONNX file whose last outputs are the maps of stride 8 and 16."""

    def __init__(self, path, threads=2):
        self.session = networks.session(path, threads)
        self.input = self.session.get_inputs()[0].name
        metadata = self.session.get_modelmeta().custom_metadata_map
        at = lambda key, default: np.array([float(v) for v in metadata.get(key, default).split(",")], np.float32)
        self.mean, self.std = (at(k, ",".join(map(str, d))) for k, d in (("mean", networks.MEAN), ("std", networks.STD)))
        self.outputs = [o.name for o in self.session.get_outputs()][-2:]

    def maps(self, picture):
        x = ((picture.astype(np.float32) / 255 - self.mean) / self.std).transpose(2, 0, 1)[None]
        return [torch.from_numpy(m) for m in self.session.run(self.outputs, {self.input: x})]

    def __call__(self, picture):
        return embed(self.maps(picture))[0]


def score(network, sets):
    """AUROC of each set, {name: (learn, good, bad)}."""
    result = {}
    for name, (learn, good, bad) in sets.items():
        scores = patchcore([network(p) for p in learn], [network(p) for p in good + bad])
        result[name] = auroc(scores[: len(good)], scores[len(good) :])
    return result


def load_sets(data, products=PRODUCTS):
    sets = {}
    if data:
        for file in sorted(os.listdir(data)):
            if file.endswith(".csv"):
                sets[file[:-4]] = real_set(data, file[:-4])
    for product in range(products):
        sets[f"rendered {render.Design(render.DESIGNS + product).kind.__name__}"] = rendered_set(product)
    return sets


def main():
    parser = argparse.ArgumentParser(description="AUROC of plain PatchCore for each network and set.")
    parser.add_argument("networks", nargs="+", metavar="NETWORK.onnx")
    parser.add_argument("--data", help="folder with labelled sets")
    parser.add_argument("--products", type=int, default=PRODUCTS, help="rendered products (default %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    sets = load_sets(arguments.data, arguments.products)
    for path in arguments.networks:
        print(json.dumps({"network": os.path.basename(path), **{k: round(v, 3) for k, v in score(Network(path), sets).items()}}), flush=True)


if __name__ == "__main__":
    main()
