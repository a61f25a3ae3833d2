"""Would another score than the greatest patch distance serve better? Computed apart from linectl, a measure while developing.

    tools/backbone/make.sh scores --data DIR NETWORK.onnx

The AUROC of each score on real sets and on rendered products, with the network, the maps and the bank of evaluate.py but for
20,000 candidates: the mean of the draws of the bank. docs/accuracy.md has what came out.
"""

import argparse
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F

import evaluate

CANDIDATES = 20_000
FOLDS = 3
UNIT = 0.2  # of the mean size of all features, in which an appearance takes them
SHRINKAGE = 0.5  # of the covariance of the appearance


@dataclass
class Draw:
    """Patches [positions, channels] of the pictures to learn from and of those to test, and the seed of the bank."""

    learn: list
    test: list
    grid: tuple  # height and width of a picture in patches
    fine: int  # channels of the finer layer; they come first
    seed: int
    moved: list  # patches to learn from and to test, of the pictures moved by half a patch

    def changed(self, change):
        return replace(self, learn=[change(p) for p in self.learn], test=[change(p) for p in self.test])

    def bank_of(self, pictures):
        return evaluate.memory_bank(pictures, candidates=CANDIDATES, seed=self.seed)

    @cached_property
    def bank(self):
        return self.bank_of(self.learn)

    @cached_property
    def found(self):
        """Of each picture to test the distances to the bank, and which vector is the nearest."""
        return [torch.cdist(p, self.bank).min(1) for p in self.test]

    @cached_property
    def near(self):
        """Of each patch to learn from which vector of the bank is the nearest, [pictures * positions]."""
        return torch.cat([torch.cdist(p, self.bank).min(1).indices for p in self.learn])

    @property
    def folds(self):
        """The numbers of the good pictures, held out in turn, and of the others."""
        order = np.random.default_rng(self.seed + 7).permutation(len(self.learn))
        for fold in range(FOLDS):
            yield order[fold::FOLDS], np.setdiff1d(order, order[fold::FOLDS])

    @cached_property
    def held(self):
        """Distances of the good pictures to banks that were learned from the others, [pictures, positions]."""
        distances = [None] * len(self.learn)
        for out, others in self.folds:
            bank = self.bank_of([self.learn[i] for i in others])
            for i in out:
                distances[i] = torch.cdist(self.learn[i], bank).min(1).values
        return torch.stack(distances)


def greatest(draw):
    return [float(f.values.max()) for f in draw.found]


def averaged(draw):
    """The greatest of the distances' means over 3x3 patches."""
    maps = [f.values.view(1, *draw.grid) for f in draw.found]
    return [float(F.avg_pool2d(m, 3, 1, 1, count_include_pad=False).max()) for m in maps]


def contrast(draw):
    """How far the greatest distance stands above the mean of the picture."""
    return [float(f.values.max() - f.values.mean()) for f in draw.found]


def neighbours(count):
    return lambda draw: [float(torch.cdist(p, draw.bank).topk(count, largest=False).values.mean(1).max()) for p in draw.test]


def by_vector(prior):
    """Standard score of a distance among those of held-out good patches with the same nearest vector; all good patches count as
    so many of them."""

    def score(draw):
        held, near = draw.held.flatten(), draw.near
        total = lambda x: torch.zeros(len(draw.bank)).index_add_(0, near, x)
        count = total(torch.ones_like(held)) + prior
        mean = (total(held) + prior * held.mean()) / count
        spread = ((total((held - mean[near]) ** 2) + prior * held.var()) / count).sqrt()
        return [float(((f.values - mean[f.indices]) / spread[f.indices]).max()) for f in draw.found]

    return score


def by_place(prior):
    """Standard score of a distance among those of held-out good pictures at and around the same place; all places count as so
    many pictures."""

    def score(draw):
        kernel = torch.exp(-(torch.arange(-4.0, 5.0) ** 2) / 8)  # Gaussian, sigma of 2 patches
        kernel /= kernel.sum()
        around = lambda x: F.pad(x.view(1, 1, *draw.grid), (4, 4, 4, 4), mode="reflect")
        blur = lambda x: F.conv2d(F.conv2d(around(x), kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1)).flatten()
        mean = blur(draw.held.mean(0))
        variance = blur(((draw.held - mean) ** 2).mean(0))
        spread = ((len(draw.held) * variance + prior * draw.held.var()) / (len(draw.held) + prior)).sqrt()
        return [float(((f.values - mean) / spread).max()) for f in draw.found]

    return score


def unlikeness(learn, test, shrinkage):
    """Logarithms of one and the distances of test from the Gaussian of learn, both [pictures, features]: each feature nearly its logarithm,
    divided by its spread, the covariance shrunk by so much at least, or by what few pictures ask for (Ledoit and Wolf, 2004)."""
    unit = UNIT * learn.abs().mean()
    learn, test = torch.asinh(learn / unit), torch.asinh(test / unit)
    spread = learn.std(0, correction=0)
    spread += 0.01 * spread.mean()
    x, y = (learn - learn.mean(0)) / spread, (test - learn.mean(0)) / spread
    covariance, identity = x.T @ x / len(x), torch.eye(x.shape[1])
    level = covariance.trace() / len(identity)
    share = ((x**2).sum(1) ** 2).mean() - (covariance**2).sum()
    share = (share / len(x) / ((covariance - level * identity) ** 2).sum()).clamp(max(1e-4, shrinkage), 1)
    root = torch.linalg.cholesky(share * level * identity + (1 - share) * covariance)
    return torch.log1p(torch.linalg.solve_triangular(root, y.T, upper=False).norm(dim=0))


def appearance(draw, shrinkage=SHRINKAGE):
    """How far the pictures' mean patches lie from those of good ones; of the pictures to test, and of good ones held out."""
    learn, test = (torch.stack([p.mean(0) for p in part]) for part in (draw.learn, draw.test))
    held = torch.empty(len(learn))
    for out, others in draw.folds:
        held[out] = unlikeness(learn[others], learn[out], shrinkage)
    return unlikeness(learn, test, shrinkage), held


def with_appearance(share, shrinkage=SHRINKAGE):
    """The greatest distance, and the appearance so weighted that among held-out good pictures it varies by such a share of what that does."""

    def score(draw):
        quartiles = lambda x: x.quantile(0.75) - x.quantile(0.25)
        test, held = appearance(draw, shrinkage)
        weight = share * quartiles(draw.held.max(1).values) / quartiles(held)
        return (torch.tensor(greatest(draw)) + weight * test).tolist()

    return score


def layers_apart(draw):
    """The greatest sum of the distances in each layer, each in units of its mean on good pictures."""
    total = 0
    for layer in (slice(0, draw.fine), slice(draw.fine, None)):
        one = draw.changed(lambda p: p[:, layer])
        total = total + torch.stack([f.values for f in one.found]) / one.held.mean()
    return total.max(1).values.tolist()


def whitened(draw):
    """The greatest distance where the patches vary alike in all directions in which they vary at all."""
    patches = torch.cat(draw.learn)
    values, vectors = torch.linalg.eigh(torch.cov(patches.T))
    turn = vectors * (values + 0.05 * values.max()) ** -0.5
    return greatest(draw.changed(lambda p: p @ turn))


def two_views(draw):
    """The greatest distance where features are the mean of those of the picture and of the picture moved by half a patch."""
    learn, test = ([(a + b) / 2 for a, b in zip(*views)] for views in zip((draw.learn, draw.test), draw.moved))
    return greatest(replace(draw, learn=learn, test=test))


SCORES = {
    "greatest distance (plain PatchCore)": greatest,
    "3x3 mean of distances": averaged,
    "mean distance of 3 neighbours": neighbours(3),
    "mean distance of 9 neighbours": neighbours(9),
    "less the picture's mean distance": contrast,
    "standard score by nearest vector, prior of 50 patches": by_vector(50),
    "standard score by nearest vector, prior of 200 patches": by_vector(200),
    "standard score by place, prior of 10 pictures": by_place(10),
    "appearance alone": lambda draw: appearance(draw)[0].tolist(),
    "greatest distance and appearance, 0.35": with_appearance(0.35),
    "greatest distance and appearance, 0.7": with_appearance(0.7),
    "greatest distance and appearance, 1": with_appearance(1),
    "greatest distance and appearance, 0.7, shrunk as few pictures ask for": with_appearance(0.7, 0),
    "greatest distance and appearance, 0.7, shrunk by 0.3": with_appearance(0.7, 0.3),
    "greatest distance and appearance, 0.7, shrunk by 0.7": with_appearance(0.7, 0.7),
    "layers apart, summed": layers_apart,
    "features of length 1": lambda draw: greatest(draw.changed(lambda p: F.normalize(p, dim=1))),
    "square roots of features": lambda draw: greatest(draw.changed(lambda p: p.sign() * p.abs().sqrt())),
    "features less their mean in the picture": lambda draw: greatest(draw.changed(lambda p: p - p.mean(0))),
    "features whitened": whitened,
    "features of two views": two_views,
}


def move(picture, by=4):
    """The picture moved up and left, its last rows and columns repeated."""
    return np.pad(picture, ((0, by), (0, by), (0, 0)), mode="edge")[by:, by:]


def main():
    parser = argparse.ArgumentParser(description="AUROC of other scores than the greatest patch distance.")
    parser.add_argument("network", metavar="NETWORK.onnx")
    parser.add_argument("--data", help="folder with labelled sets")
    parser.add_argument("--products", type=int, default=evaluate.PRODUCTS, help="rendered products (default %(default)s)")
    parser.add_argument("--draws", type=int, default=2, help="draws of the bank (default %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    network = evaluate.Network(arguments.network)
    results = {name: {} for name in SCORES}
    for name, (learn, good, bad) in evaluate.load_sets(arguments.data, arguments.products).items():
        maps = network.maps(learn[0])
        embedded = [[network(p) for p in part] for part in (learn, good + bad)]
        moved = [[network(move(p)) for p in part] for part in (learn, good + bad)]
        for seed in range(arguments.draws):
            draw = Draw(*embedded, maps[0].shape[-2:], maps[0].shape[1], seed, moved)
            for title, score in SCORES.items():
                scores = score(draw)
                auroc = evaluate.auroc(scores[: len(good)], scores[len(good) :])
                results[title].setdefault(name.split()[0], []).append(auroc)
        print(name, flush=True)
    columns = list(results[title])
    print("| score | " + " | ".join(columns) + " |")
    print("| --- |" + " --- |" * len(columns))
    for title, found in results.items():
        print(f"| {title} | " + " | ".join(f"{np.mean(found[c]):.3f}" for c in columns) + " |")


if __name__ == "__main__":
    main()
