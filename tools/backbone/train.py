"""Teaches the students what the teacher sees: both sizes in one loop, so that the teacher looks at each picture once.

Each step cuts fresh crops from the renderings, and for each stride a linear head on the student's map has to give the teacher's
map. The loss of a head (see imitation) counts differences within a picture for as much on a faint surface as on a loud
one. A second small head names the rendered defects. What is exported is the running mean of the weights.
"""

import math
import os
import signal
import time

import onnx
import torch
import torch.nn.functional as F
from torch import nn

import networks
import render

TEACHER_MAPS = ("conv2_block3_out", "conv3_block4_out", "conv4_block6_out")  # strides 4, 8, 16 of Keras' ResNet-50
LAYER_WEIGHTS = (0.5, 1.0, 1.0)
CROPS = ((128, 64, 0.6), (192, 28, 0.25), (256, 16, 0.15))  # side, pictures in a batch, share of the steps
DEFECT_WEIGHT = 0.3
MEAN_DECAY = 0.999
PEAK_RATE, PEAK_RATE_AFTER_START = 2e-3, 5e-4
SAVE_SECONDS = 180


def arithmetic(device):
    """bfloat16 where the device computes it, float32 where a CPU would only emulate it, many times slower."""
    computes = device.type != "cpu" or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if computes else torch.float32


def crops(images, masks, side, count):
    """count crops as [count, 3, side, side] of 0 … 1 in steps of 1/255, and their masks [count, side, side], on the device that
    holds the images.

    Turned, scaled, mirrored, pairs of surfaces joined, then other light, contrast, colour, blur and noise.
    """
    at = {"device": images.device}
    u = lambda low, high: torch.empty(count, **at).uniform_(low, high)
    rand, randn = lambda *shape: torch.rand(shape, **at), lambda *shape: torch.randn(shape, **at)
    pick = torch.randint(len(images), (count,), **at)
    x, m = images[pick].permute(0, 3, 1, 2).float() / 255, masks[pick][:, None].float()
    full = x.shape[-1]
    scale = (torch.exp(u(math.log(0.6), math.log(1.6))) * side / full).clamp(max=1)
    turn = torch.where(rand(count) < 0.5, u(0, 2 * math.pi), torch.zeros(count, **at))
    mirror = torch.where(rand(count) < 0.5, -1.0, 1.0)
    c, s, room = torch.cos(turn) * scale, torch.sin(turn) * scale, (1 - scale).clamp(min=0.03)
    rows = [torch.stack([c * mirror, -s, u(-1, 1) * room], 1), torch.stack([s * mirror, c, u(-1, 1) * room], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), (count, 3, side, side), align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    m = F.grid_sample(m, grid, mode="nearest", padding_mode="reflection", align_corners=False)[:, 0].long()
    # Dyes: the renderings are pale, and a network that never saw a vivid colour may answer one with features forty times as long.
    dye = rand(count, 3, 1, 1) ** 2  # most of them vivid
    x = torch.where((rand(count) < 0.4).view(-1, 1, 1, 1), (x + 0.3 * rand(count, 1, 1, 1)).clamp(max=1) * dye / dye.amax(1, keepdim=True), x)
    # Two surfaces in one picture, along a wavy edge.
    other, knots = torch.randperm(count, **at), int(torch.randint(3, 6, ()))
    wave = F.interpolate(randn(count, 1, knots, knots), size=(side, side), mode="bicubic")[:, 0]
    join = (wave > 0.3) & (rand(count) < 0.4)[:, None, None]
    x, m = torch.where(join[:, None], x[other], x), torch.where(join, m[other], m)
    # Light and contrast.
    mean = x.mean((2, 3), keepdim=True)
    per_colour = torch.where(rand(count) < 0.5, 0.12, 0.04).view(-1, 1, 1, 1)
    gain = torch.exp(-0.15 + 0.4 * randn(count, 1, 1, 1))
    offset = randn(count, 1, 1, 1) * 0.08 + randn(count, 3, 1, 1) * per_colour
    x = (x - mean) * gain + mean + offset
    ramp = torch.linspace(-1, 1, side, **at)
    slope = randn(count, 2) * 0.1 * (rand(count, 1) < 0.3)
    x = x + (slope[:, :1, None] * ramp[:, None] + slope[:, 1:, None] * ramp)[:, None]
    grey = (rand(count) < 0.5).view(-1, 1, 1, 1)
    x = torch.where(grey, x.mean(1, keepdim=True), x)
    blurred = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), 3, 1)
    x = torch.where((rand(count) < 0.2).view(-1, 1, 1, 1), blurred, x)
    noise = torch.randn_like(x) * (rand(count, 1, 1, 1) ** 2 * 0.03)
    x = x + torch.where(grey, noise[:, :1], noise)
    return (x.clamp(0, 1) * 255).round() / 255, m


class Teacher:
    """The teacher's maps as [pictures, positions, channels], each channel standardised over the renderings."""

    def __init__(self, path, maps, device):
        metadata = {p.key: p.value for p in onnx.load(path, load_external_data=False).metadata_props}
        if not {"mean", "std"} <= metadata.keys():
            raise ValueError(f"{path}: its metadata lack mean and std, so nobody knows how pictures go into it")
        at = lambda key: torch.tensor([float(v) for v in metadata[key].split(",")], device=device).view(1, 3, 1, 1)
        self.mean, self.std = at("mean"), at("std")
        if device.type == "cpu":
            self.dtype, self.graph = torch.float32, networks.OnCPU(path, maps, torch.get_num_threads())
        else:
            self.dtype = torch.bfloat16
            self.graph = networks.Graph(path, maps).eval().to(device, self.dtype, memory_format=torch.channels_last)
        self.statistics = None

    @torch.inference_mode()
    def raw(self, x):
        x = ((x.to(self.mean.device) - self.mean) / self.std).to(self.dtype, memory_format=torch.channels_last)
        return [m.permute(0, 2, 3, 1) for m in self.graph(x)]

    def learn_statistics(self, batches):
        sums = [(0, 0, 0) for _ in networks.STRIDES]
        for x in batches:
            for i, m in enumerate(self.raw(x)):
                m = m.flatten(0, 2).double()
                n, a, b = sums[i]
                sums[i] = n + len(m), a + m.sum(0), b + (m**2).sum(0)
        self.statistics = [((a / n).float(), (b / n - (a / n) ** 2).clamp(min=0).sqrt().float() + 0.02) for n, a, b in sums]

    def __call__(self, x, corner=None):
        maps = self.raw(x) if corner is None else thin(self.raw(x), corner)
        return [(m.float() - mean) / std for m, (mean, std) in zip(maps, self.statistics)]


class Pupil(nn.Module):
    """A student with the heads that only training needs."""

    def __init__(self, size, channels):
        """channels: the teacher's at each stride."""
        super().__init__()
        self.net = networks.student(size)
        widths = self.net.widths
        self.heads = nn.ModuleList(nn.Linear(w, c) for w, c in zip(widths, channels))
        self.defects = nn.Sequential(nn.Linear(widths[1] + widths[2], 128), nn.ReLU(), nn.Linear(128, len(render.DEFECTS) + 1))

    def forward(self, x, corner):
        """What the heads say, [n, h, w, channels] for each stride, and the defect scores at stride 8."""
        maps = [m.permute(0, 2, 3, 1) for m in self.net(x)]
        coarse = F.interpolate(maps[2].permute(0, 3, 1, 2), scale_factor=2, mode="bilinear").permute(0, 2, 3, 1)
        defects = self.defects(torch.cat([maps[1], coarse], -1))
        return [head(m) for head, m in zip(self.heads, thin(maps, corner))], defects


def thin(maps, corner):
    """A quarter of the positions of the finer maps, [n, h, w, channels]: they are many and alike."""
    return [m[:, corner[0] :: 2, corner[1] :: 2] for m in maps[:2]] + list(maps[2:])


def imitation(said, taught):
    """How far the head is from the teacher, both [n, h, w, channels].

    Smooth L1 over all, and half the squared error of what varies within a picture relative to how much the teacher's map varies
    there: inspection compares pictures of one product with one another, and those may be faint.
    """
    said, taught = said.float().flatten(1, 2), taught.flatten(1, 2)
    error = said - taught
    inner = (error - error.mean(1, keepdim=True)).square().mean((1, 2))
    spread = taught.var(1).mean(1) + 0.05
    return F.smooth_l1_loss(said, taught) + 0.5 * (inner / spread).mean()


@torch.no_grad()
def fit_heads(pupil, teacher, batches, prepare):
    """Sets the heads of a student that has learned already by least squares, so that they do not spoil it at first."""
    sums = [[0, 0] for _ in networks.STRIDES]
    for x in batches:
        for i, (m, t) in enumerate(zip(pupil.net.eval()(prepare(x)), teacher(x))):
            m = m.permute(0, 2, 3, 1).flatten(0, 2)
            m = torch.cat([m, torch.ones_like(m[:, :1])], 1).double()
            sums[i][0] += m.T @ m
            sums[i][1] += m.T @ t.flatten(0, 2).double()
    for head, (a, b) in zip(pupil.heads, sums):
        w = torch.linalg.solve(a + 1e-6 * a.diagonal().mean() * torch.eye(len(a), dtype=a.dtype, device=a.device), b)
        head.weight.copy_(w[:-1].T)
        head.bias.copy_(w[-1])


def train(
    images, masks, teacher_path, folder, sizes=("standard", "small"), start=None, steps=4200, minutes=80.0, pause=None,
    seed=0, threads=2, batch=1, float32=False, maps=TEACHER_MAPS, crop_sizes=CROPS, statistics=4, say=print,
):  # fmt: skip
    """Trains until steps or minutes are over, whichever is first. Gives {size: student} with the running means of the weights,
    and the mean losses on the way, [(step, {size: [stride 4, 8, 16, defects]})].

    start: {size: path of an exported file to go on from}. batch: how many times as many crops a step takes as CROPS says. The learning
    rate falls to nothing at the end, so the end must be known from the beginning. float32: the students learn in it, whatever the processor has. What was reached is in folder/checkpoint.pt, every
    three minutes and when told to stop by a signal or at the
    step pause (then it gives None); called again, training goes on from there. With the same seed, threads and processor it gives
    the same bits, stopped in between or not, unless minutes ended it.
    """
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images, masks = torch.from_numpy(images), torch.from_numpy(masks)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        if images.nbytes + masks.nbytes < torch.cuda.mem_get_info()[0] / 2:  # then crops are cut there, too
            images, masks = images.to(device), masks.to(device)
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (networks.MEAN, networks.STD))
    prepare = lambda x: ((x.to(device) - mean) / std).contiguous(memory_format=torch.channels_last)
    crop_sizes = [(side, max(2, round(batch * count)), share) for side, count, share in crop_sizes]
    rates = [PEAK_RATE_AFTER_START if start and size in start else PEAK_RATE for size in sizes]
    torch.manual_seed(seed)
    teacher, dtype = Teacher(teacher_path, maps, device), torch.float32 if float32 else arithmetic(device)
    checkpoint = os.path.join(folder, "checkpoint.pt")
    saved = torch.load(checkpoint, map_location=device, weights_only=True) if os.path.exists(checkpoint) else None
    settings = dict(sizes=list(sizes), seed=seed, steps=steps, start=sorted(start or {}), pictures=len(images), batch=batch)
    if saved:
        if saved["settings"] != settings:
            raise ValueError(f"{checkpoint} was made with {saved['settings']}, this is {settings}: take another work folder")
        teacher.statistics = saved["statistics"]
    else:
        first = [crops(images, masks, *crop_sizes[0][:2])[0] for _ in range(statistics)]
        teacher.learn_statistics(first)
    pupils = {size: Pupil(size, [len(mean) for mean, _ in teacher.statistics]) for size in sizes}
    for size, path in (start or {}).items():
        if not saved:
            networks.start_from(pupils[size].net, path, prepare(torch.cat(first)).cpu())
            fit_heads(pupils[size].to(device), teacher, first, prepare)
    groups = [{"params": pupils[s].to(device, memory_format=torch.channels_last).parameters(), "peak": r} for s, r in zip(sizes, rates)]
    optimizer = torch.optim.AdamW(groups, lr=PEAK_RATE, weight_decay=0.02)
    means = {size: {k: v.clone() for k, v in p.state_dict().items()} for size, p in pupils.items()}
    step, spent, seen, weight, history = 0, 0.0, {size: torch.zeros(4, device=device) for size in sizes}, 0.0, []
    if saved:
        step, spent, means, seen, weight, history = (saved[k] for k in ("step", "spent", "means", "seen", "weight", "history"))
        optimizer.load_state_dict(saved["optimizer"])
        for size in sizes:
            pupils[size].load_state_dict(saved["pupils"][size])

    def save():
        data = dict(settings=settings, step=step, spent=spent, statistics=teacher.statistics, means=means, seen=seen, weight=weight, history=history)
        data |= dict(pupils={size: pupil.state_dict() for size, pupil in pupils.items()}, optimizer=optimizer.state_dict())
        torch.save(data, checkpoint + ".new")
        os.replace(checkpoint + ".new", checkpoint)

    stop = []
    previous = {s: signal.signal(s, lambda *_: stop.append(1)) for s in (signal.SIGINT, signal.SIGTERM)}
    shares = torch.tensor([share for _, _, share in crop_sizes])
    kinds = torch.tensor([0.4] + [1.0] * len(render.DEFECTS), device=device)
    for size, pupil in pupils.items():
        pupil.train()
        if size in (start or {}):  # its normalisation gives what the folded layers gave; that of a batch would not
            for _, bn in networks.convolutions(pupil.net):
                bn.eval()
    first_step, began, last_save = step, time.monotonic() - spent, time.monotonic()
    while True:
        spent = time.monotonic() - began
        done = max(step / steps, spent / 60 / minutes)
        if done >= 1 or stop or step == pause:
            break
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * min(1, 0.01 + 20 * done) * (0.5 * (1 + math.cos(math.pi * done)) + 1e-3)
        torch.manual_seed(seed * 1_000_003 + step + 1)  # a step draws the same whether or not training stopped before it
        side, count, _ = crop_sizes[int(torch.multinomial(shares, 1))]
        x, m = crops(images, masks, side, count)
        corner = torch.randint(2, (2,)).tolist()
        taught = [t.clone() for t in teacher(x, corner)]
        named = F.max_pool2d(m[:, None].float(), 8, 8)[:, 0].long().to(device)
        x = prepare(x)
        optimizer.zero_grad(set_to_none=True)
        for size, pupil in pupils.items():
            with torch.autocast(device.type, torch.bfloat16, enabled=dtype is torch.bfloat16):
                said, defects = pupil(x, corner)
            losses = [imitation(q, t) for q, t in zip(said, taught)]
            losses.append(F.cross_entropy(defects.float().flatten(0, 2), named.flatten(), weight=kinds))
            sum(w * v for w, v in zip((*LAYER_WEIGHTS, DEFECT_WEIGHT), losses)).backward()
            nn.utils.clip_grad_norm_(pupil.parameters(), 2.0)
            seen[size].lerp_(torch.stack(losses).detach(), 0.02)
        optimizer.step()
        step += 1
        weight = 0.98 * weight + 0.02
        follow(means, pupils, min(MEAN_DECAY, (1 + step) / (10 + step)))
        if step % 25 == 0 or step == steps:
            spent = time.monotonic() - began
            left = min((steps - step) * spent / step, minutes * 60 - spent)
            history.append((step, {size: (seen[size] / weight).tolist() for size in sizes}))
            text = "  ".join(f"{size} " + " ".join(f"{v:.3f}" for v in values) for size, values in history[-1][1].items())
            say(f"step {step} of {steps}  {spent / step:.2f} s/step  {left / 60:.0f} min left  losses {text}")
        if time.monotonic() - last_save > SAVE_SECONDS:
            last_save = time.monotonic()
            save()
    if step > first_step:
        save()
    for s, handler in previous.items():
        signal.signal(s, handler)
    if done < 1:
        return None
    return average(means, [len(mean) for mean, _ in teacher.statistics]), history


@torch.no_grad()
def follow(means, pupils, decay):
    """Moves the running means towards the weights."""
    for size, pupil in pupils.items():
        weights = pupil.state_dict()
        moved = [k for k, v in weights.items() if v.is_floating_point()]
        torch._foreach_lerp_([means[size][k] for k in moved], [weights[k] for k in moved], 1 - decay)
        for k in weights.keys() - moved:
            means[size][k].copy_(weights[k])


def average(means, channels):
    """The students with the running means of their weights, on the CPU."""
    students = {}
    for size, state in means.items():
        pupil = Pupil(size, channels)
        pupil.load_state_dict(state)
        students[size] = pupil.net.eval()
    return students


def students_of(folder):
    """The step and the students of the checkpoint in folder, as they are now."""
    saved = torch.load(os.path.join(folder, "checkpoint.pt"), map_location="cpu", weights_only=True)
    return saved["step"], average(saved["means"], [len(mean) for mean, _ in saved["statistics"]])
