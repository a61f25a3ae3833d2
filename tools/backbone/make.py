"""Makes linectl's own networks: renders, trains the networks, exports, judges, and keeps what is better.

Run by make.sh. Each phase leaves its result in the work folder; called again after a stop, it goes on from there.
"""

import argparse
import json
import os
import shutil
import sys
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while they wait cost a shared machine most of its time

import numpy as np
import torch

import evaluate
import export
import networks
import render
import train

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
OUT = os.path.join(ROOT, "backbones")
GOLDEN = os.path.join(ROOT, "internal", "inspect", "network", "testdata")  # what linectl's tests hold the networks against
NAMES = {"standard": "linectl_resnet18", "small": "linectl_small", "large": "linectl_large"}
SOURCE = "distilled from ResNet-50 (ImageNet, MIT) on procedural renderings; no photograph"


def say(text):
    print(text, flush=True)


def renderings(folder, seed, count, workers):
    """The pictures to train on; drawn once, then read from the folder."""
    paths = [os.path.join(folder, f"{what}-{seed}-{count}.npy") for what in ("masks", "images")]
    if not os.path.exists(paths[1]):
        began = last = time.monotonic()

        def progress(done, of):
            nonlocal last
            if time.monotonic() - last > 10 or done == of:
                last = time.monotonic()
                say(f"drawing {done} of {of}  {(last - began) * (of - done) / done / 60:.1f} min left")

        images, masks = render.pictures(seed, count, workers, progress)
        for path, array in zip(paths, (masks, images)):
            with open(path + ".new", "wb") as f:
                np.save(f, array)
            os.replace(path + ".new", path)
    masks, images = (np.load(path) for path in paths)
    return images, masks


def sample(images):
    """Some of the renderings, as a network takes them."""
    x = torch.from_numpy(images[:: max(1, len(images) // 64)]).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (networks.MEAN, networks.STD))
    return (x - mean) / std


def judge(students, step, folder, out, data, products, pictures):
    """Exports the students, prints their AUROC beside that of the networks in out, and gives those that are better, by name.

    Better means the mean over the real sets, or over the rendered products where there are none.
    """
    digests = {NAMES[size]: export.export(net, size, NAMES[size], SOURCE, folder, pictures) for size, net in students.items()}
    sets = evaluate.load_sets(data, products)
    if not data:
        say("no real sets (--data): judged by rendered products alone")
    counted = [name for name in sets if not name.startswith("rendered ")] or list(sets)
    better = []
    for name, digest in digests.items():
        means = []
        for where in (folder, out):
            path = os.path.join(where, name + ".onnx")
            if where == out and not os.path.exists(path):
                continue
            scores = evaluate.score(evaluate.Network(path), sets)
            means.append(float(np.mean([scores[n] for n in counted])))
            row = {"step": step if where == folder else None, "network": path, "mean": round(means[-1], 4), **{k: round(v, 3) for k, v in scores.items()}}
            with open(os.path.join(folder, "scores.jsonl"), "a") as f:
                f.write(json.dumps(row) + "\n")
            say(json.dumps(row))
        if len(means) == 1 or means[0] > means[1]:
            better.append(name)
        say(f"{name}: SHA-256 {digest}, mean AUROC {means[0]:.4f}" + (f", the present one {means[1]:.4f}" if len(means) > 1 else ", there is none yet"))
    return better


def arguments_of(words):
    shared = os.path.join(ROOT, "..", "shared")
    data = os.environ.get("LINECTL_DATA", os.path.join(shared, "data"))
    p = argparse.ArgumentParser(prog="make.sh", description=__doc__.splitlines()[0])
    p.add_argument("--teacher", default=os.path.join(shared, "backbones", "resnet50_imagenet.onnx"), help="Keras' ResNet-50 as ONNX, batch normalisation folded (default %(default)s)")
    p.add_argument("--data", default=data if os.path.isdir(data) else None, help="folder with labelled real sets (default %(default)s)")
    p.add_argument("--work", default=os.path.join(ROOT, ".tools", "backbone", "work"), help="folder for renderings, checkpoint and exported files")
    p.add_argument("--out", default=OUT, help="where a network goes that is better than the one there")
    p.add_argument("--start", action="append", default=[], metavar="SIZE=FILE", help="go on from an exported network, such as standard=backbones/linectl_resnet18.onnx")
    p.add_argument("--sizes", default="standard,small")
    p.add_argument("--pictures", type=int, default=10_000)
    p.add_argument("--steps", type=int, default=4200)
    p.add_argument("--batch", type=float, default=1, help="how many times as many crops a step takes: more on a GPU (default %(default)s)")
    p.add_argument("--float32", action="store_true", help="no bfloat16: some processors have it and are slower with it")
    p.add_argument("--minutes", type=float, default=80, help="training ends by then, at whatever step (default %(default)s)")
    p.add_argument("--pause", type=int, metavar="STEP", help="stop there; the same command without --pause goes on")
    p.add_argument("--now", action="store_true", help="no training: export and judge the checkpoint as it is; --out stays as it is")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args(words)
    a.sizes = a.sizes.split(",")
    a.start = dict(s.partition("=")[::2] for s in a.start)
    for what, given in (("--sizes", a.sizes), ("--start", a.start)):
        for size in given:
            if size not in NAMES:
                p.error(f"{what}: there is no size {size!r}; there are {', '.join(NAMES)}")
    for path in [a.teacher, *a.start.values()]:
        if not os.path.isfile(path) and not a.now:
            p.error(f"there is no file {path}")
    if a.now and not os.path.isfile(os.path.join(a.work, "checkpoint.pt")):
        p.error(f"--now: there is no checkpoint in {a.work}")
    return a


def main():
    a = arguments_of(sys.argv[1:])
    os.makedirs(a.work, exist_ok=True)
    torch.set_num_threads(a.threads)
    began = time.monotonic()
    if a.now:
        step, students = train.students_of(a.work)
        images, _ = renderings(a.work, a.seed, a.pictures, a.threads)
        judge(students, step, a.work, a.out, a.data, evaluate.PRODUCTS, sample(images))
        return
    images, masks = renderings(a.work, a.seed, a.pictures, a.threads)
    say(f"renderings: {(time.monotonic() - began) / 60:.1f} min")
    try:
        result = train.train(images, masks, a.teacher, a.work, a.sizes, a.start, a.steps, a.minutes, a.pause, a.seed, a.threads, a.batch, a.float32, say=say)
    except ValueError as error:
        sys.exit(f"make.sh: {error}")
    if result is None:
        sys.exit("stopped; the same command goes on from there")
    students, history = result
    say(f"trained: {(time.monotonic() - began) / 60:.1f} min")
    for name in judge(students, history[-1][0], a.work, a.out, a.data, evaluate.PRODUCTS, sample(images)):
        for ending in (".onnx", ".toml"):
            shutil.copy(os.path.join(a.work, name + ending), a.out)
        if a.out == OUT:
            shutil.copy(os.path.join(a.work, name + ".golden.gz"), GOLDEN)
        say(f"{os.path.join(a.out, name)}.onnx and its card are new")
    say(f"all: {(time.monotonic() - began) / 60:.1f} min")


if __name__ == "__main__":
    main()
