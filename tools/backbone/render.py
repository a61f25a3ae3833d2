"""Draws what a line camera sees: surfaces, machined and moulded parts, castings, prints, weaves, screws and
boards, sound or with defects, each with the mask of its defects.

    python tools/backbone/render.py --show sheet.png     draws one of each kind

A picture follows from seed and number alone. A kind draws a height or reflectance field z of about unit spread; light,
lens and sensor make the picture from it. The words for parts and defects are those of internal/sim/parts.
"""

import argparse
import multiprocessing

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, zoom
from scipy.spatial import cKDTree

SIDE = 256
DESIGNS = 4096  # parameter sets; pictures of one design differ by what differs between two parts of one product
DEFECTS = ["scratch", "dent", "stain", "crack", "chip", "contamination", "hole", "patch", "warp"]  # 1 … 9 in the mask


def spectral(rng, side, alpha=1.2, aniso=1.0, theta=0.0, f0=1.0):
    """A Gaussian field with power spectrum |f|^(-2 alpha), drawn out along theta by aniso. Zero mean, unit spread."""
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    c, s = np.cos(theta), np.sin(theta)
    r = np.sqrt(((c * fx + s * fy) * aniso) ** 2 + (-s * fx + c * fy) ** 2) + f0 / side
    white = rng.standard_normal((2, *r.shape), np.float32)
    z = np.fft.irfft2((r ** -alpha) * (white[0] + 1j * white[1]), (side, side))
    return ((z - z.mean()) / (z.std() + 1e-6)).astype(np.float32)


def soft(d, width=1.0):
    """A smooth step: 0 where d is far below nothing, 1 far above; width in pixels."""
    return 1 / (1 + np.exp(-np.clip(d / width, -30, 30)))


class Design:
    """What all pictures of one product have in common."""

    def __init__(self, number):
        r = np.random.default_rng([7, number])
        self.kind = KINDS[number % len(KINDS)]
        self.theta, self.alpha, self.aniso = r.uniform(0, np.pi), r.uniform(0.4, 2.0), np.exp(r.uniform(0, 2.2))
        self.f0, self.frequency = r.uniform(0.3, 3), np.exp(r.uniform(np.log(4), np.log(40)))
        self.sharp, self.ratio, self.level = r.uniform(0.6, 4), r.uniform(0.5, 1.6), r.uniform(-0.8, 1.2)
        self.seed, self.count, self.edge = int(r.integers(1 << 30)), int(r.integers(3, 10)), r.random() < 0.5
        self.contrast = np.exp(r.uniform(np.log(0.02), np.log(0.3)))
        self.mean, self.relief = r.uniform(0.2, 0.8), r.random() < 0.4
        self.grey = r.random() < 0.5
        self.tint, self.second = r.normal(0, 0.12, 3), r.normal(0, 0.6, 3) * (r.random() < 0.4)


class Canvas:
    """Where one picture is drawn: turned and shifted coordinates and the picture's own chance."""

    def __init__(self, rng, side, design):
        self.rng, self.side, self.d = rng, side, design
        self.y, self.x = np.mgrid[0:side, 0:side].astype(np.float32)
        theta = design.theta + rng.normal(0, 0.05)
        c, s = np.cos(theta), np.sin(theta)
        oy, ox = rng.uniform(0, 1000, 2)
        self.u, self.v = c * (self.x + ox) + s * (self.y + oy), -s * (self.x + ox) + c * (self.y + oy)
        self.omega = 2 * np.pi * design.frequency * np.exp(rng.normal(0, 0.05)) / side

    def grain(self, alpha=None, aniso=None):
        d = self.d
        return spectral(self.rng, self.side, d.alpha if alpha is None else alpha, d.aniso if aniso is None else aniso, d.theta, d.f0)

    def part(self):
        """Coordinates about the middle of a part whose pose varies a little."""
        cy, cx = self.side / 2 + self.rng.normal(0, self.side / 60, 2)
        return self.y - cy, self.x - cx


def surface(c):
    return c.grain()


def brushed(c):
    return c.grain(aniso=c.d.aniso * 8) + 0.4 * c.grain(0.4, 1)


def tile(c):
    """A ground or sintered surface: slow shading, faint grinding marks and fine grain."""
    return 1.2 * c.grain(2.2, 1) + c.d.level * 0.4 * c.grain(0.9, 12) + 0.5 * c.grain(0.5, 1)


def casting(c):
    z = 0.8 * c.grain(1.7, 1) + 0.6 * c.grain(0.7, 1)
    return z + 0.5 * np.tanh(2 * (c.grain(1.0, 1) - 1.2))


def grating(c):
    return np.tanh(c.d.sharp * np.sin(c.omega * c.u + 0.4 * c.grain(1.6)))


def weave(c):
    j = 0.25 * c.grain(1.4)
    a, b = np.sin(c.omega * c.u + j), np.sin(c.omega * c.v * c.d.ratio + j)
    over = np.sin(c.omega * c.u / 2) * np.sin(c.omega * c.v * c.d.ratio / 2) > 0
    return np.where(over, a, b) * c.d.sharp / 2 + 0.2 * c.grain(0.3, 1)


def dots(c):
    return np.tanh(c.d.sharp * (np.cos(c.omega * c.u) + np.cos(c.omega * c.v * c.d.ratio) - c.d.level)) + 0.15 * c.grain(0.5, 1)


def cells(c):
    n = int(min(c.d.frequency, 26) ** 2) + 6
    points = c.rng.uniform(-0.1, 1.1, (n, 2)) * c.side
    d, i = cKDTree(points).query(np.stack([c.y.ravel(), c.x.ravel()], 1), 2, workers=1)
    z = np.tanh((d[:, 1] - d[:, 0]) / 9 * c.d.sharp) if c.d.edge else c.rng.normal(size=n)[i[:, 0]]
    return z.reshape(c.side, c.side).astype(np.float32) + 0.15 * c.grain(aniso=1)


def blotches(c):
    return np.tanh(c.d.sharp * (c.grain() - c.d.level)) + 0.1 * c.grain(0.3, 1)


def assembled(c):
    """Ellipses and boxes about one middle, each with a finish of its own."""
    r, (y, x) = np.random.default_rng(c.d.seed), c.part()
    z = 0.15 * c.grain(c.d.alpha * 0.7)
    for _ in range(c.d.count):
        ay, ax = r.uniform(0.06, 0.45, 2) * c.side
        ty, tx = r.normal(0, 0.18, 2) * c.side
        th, level, box = r.uniform(0, np.pi), r.uniform(-1.6, 1.6), r.random() < 0.5
        u, v = np.cos(th) * (x - tx) + np.sin(th) * (y - ty), -np.sin(th) * (x - tx) + np.cos(th) * (y - ty)
        d = np.maximum(abs(u) / ax, abs(v) / ay) if box else np.sqrt((u / ax) ** 2 + (v / ay) ** 2)
        m = soft((1 - d) * min(ax, ay), 0.8)
        finish = (surface, brushed, grating)[r.integers(3)](c)
        z = z * (1 - m) + m * (level + 0.25 * finish + 0.5 * (1 - d) * r.uniform(-1, 1))
    return z


def flange(c):
    """A turned disc with bolt holes: grooves, a bore, light that turns with the angle."""
    r, (y, x) = np.random.default_rng(c.d.seed), c.part()
    rad, phi = np.hypot(y, x), np.arctan2(y, x)
    outer = r.uniform(0.3, 0.48) * c.side
    z = np.cos(2 * (phi - c.d.theta)) * r.uniform(0.1, 0.8) + 0.4 * np.sin(rad * r.uniform(0.3, 2.5)) + 0.25 * c.grain(0.5, 1)
    for edge in r.uniform(0.15, 0.95, r.integers(1, 5)) * outer:
        z = z + r.normal(0, 0.7) * soft(rad - edge, 0.8) + r.normal(0, 1) * np.exp(-((rad - edge) / 1.5) ** 2)
    turn, n = r.uniform(0, 6.3) + c.rng.normal(0, 0.3), int(r.integers(3, 11))
    holes = [(0, 0, r.uniform(0.08, 0.25) * outer)]
    ring, size = r.uniform(0.5, 0.8) * outer, r.uniform(0.04, 0.11) * outer
    holes += [(ring * np.sin(turn + 6.283 * k / n), ring * np.cos(turn + 6.283 * k / n), size) for k in range(n)]
    for hy, hx, hr in holes:
        m = soft(hr - np.hypot(y - hy, x - hx), 0.8)
        z = z * (1 - m) + m * (-2.2)
    ground = r.uniform(-2, 1) + 0.2 * c.grain(0.8, 1)
    m = soft(outer - rad, 0.8)
    return z * m + ground * (1 - m)


def moulded(c):
    """Rounded bodies with smooth shading and a gloss: caps, housings, figures."""
    r, (y, x) = np.random.default_rng(c.d.seed), c.part()
    h = np.zeros_like(y)
    for _ in range(c.d.count + 2):
        ay, ax = r.uniform(0.06, 0.4, 2) * c.side
        ty, tx, th = *(r.normal(0, 0.16, 2) * c.side), r.uniform(0, np.pi)
        u, v = np.cos(th) * (x - tx) + np.sin(th) * (y - ty), -np.sin(th) * (x - tx) + np.cos(th) * (y - ty)
        power = r.uniform(2, 6)
        body = np.clip(1 - (abs(u) / ax) ** power - (abs(v) / ay) ** power, 0, 1) ** 0.5 * min(ax, ay) * r.uniform(0.3, 1)
        h = np.maximum(h, body) if r.random() < 0.7 else h - 0.4 * np.minimum(h, body)
    h = gaussian_filter(h, 1.2) + 0.08 * c.grain(0.8, 1)
    gy, gx = np.gradient(h)
    n = 1 / np.sqrt(1 + gy**2 + gx**2)
    ly, lx = np.sin(c.d.theta * 2) * 0.6, np.cos(c.d.theta * 2) * 0.6
    shade = np.clip((0.6 - ly * gy - lx * gx) * n, 0, None)
    return 3 * shade + c.d.sharp * shade**12 - 2 + 0.6 * (h > 0.5)


def printed(c):
    """Rows of strokes like lettering and bar codes on a plain or grained ground."""
    r = np.random.default_rng(c.d.seed)
    z = 0.3 * c.grain(0.9)
    size = int(r.uniform(8, 36))
    oy, ox = c.rng.normal(0, 2, 2)
    ink, weight = r.choice([-1, 1]) * r.uniform(0.8, 2.5), r.uniform(0.06, 0.16) * size
    m = np.zeros_like(z)
    if r.random() < 0.25:
        bars = np.repeat(r.random(c.side) < 0.5, r.integers(1, 5))[: c.side].astype(np.float32)
        m[size : c.side - size] = np.roll(bars, int(ox))
    else:
        glyphs = []
        gy, gx = np.mgrid[0:size, 0:size].astype(np.float32)
        for _ in range(12):
            g = np.full((size, size), 1e9, np.float32)
            p = r.uniform(0.15, 0.85, 2) * size
            for _ in range(r.integers(2, 5)):
                q = r.uniform(0.15, 0.85, 2) * size
                g = np.minimum(g, segment(gy, gx, p, q))
                p = q
            glyphs.append(soft(weight / 2 - g, 0.5))
        for top in range(int(r.integers(0, size)), c.side - size, int(size * r.uniform(1.1, 2.5))):
            for left in range(int(r.integers(0, size)), c.side - size, int(size * 0.95)):
                if r.random() < 0.85:
                    m[top : top + size, left : left + size] = glyphs[r.integers(12)]
        m = shift(m, oy, ox)
    return z * (1 - 0.7 * m) + ink * m


def board(c):
    """A circuit board: tracks, pads, drilled holes and rows of parts."""
    r = np.random.default_rng(c.d.seed)
    z = np.zeros((c.side, c.side), np.float32)
    pitch = int(r.integers(6, 22))
    for _ in range(int(r.integers(8, 30))):
        a = int(r.integers(0, c.side // pitch)) * pitch
        b, e = np.sort(r.integers(0, c.side, 2))
        w = int(r.integers(1, max(2, pitch // 2)))
        if r.random() < 0.5:
            z[a : a + w, b:e] = 0.9
        else:
            z[b:e, a : a + w] = 0.9
    for _ in range(int(r.integers(2, 8))):
        a, b = r.integers(0, c.side - pitch, 2)
        h, w = r.integers(1, 6, 2) * pitch
        z[a : a + h, b : b + w] = r.uniform(-2, 2)
        z[a + h : a + h + 3, b : b + w : max(2, pitch // 2)] = 2.2
    for _ in range(int(r.integers(5, 40))):
        hy, hx = r.integers(0, c.side, 2) // pitch * pitch
        d = np.hypot(c.y - hy, c.x - hx)
        z = np.where(d < pitch * 0.45, 2.0, z)
        z = np.where(d < pitch * 0.22, -2.0, z)
    return gaussian_filter(shift(z, *c.rng.normal(0, 2, 2)), 0.6) + 0.12 * c.grain(0.6)


def screw(c):
    """A turned rod from the side: shading across, a thread along part of it, a head."""
    r, (y, x) = np.random.default_rng(c.d.seed), c.part()
    th = c.d.theta + c.rng.normal(0, 0.15)
    u, v = np.cos(th) * x + np.sin(th) * y, -np.sin(th) * x + np.cos(th) * y
    length, width = r.uniform(0.3, 0.46) * c.side, r.uniform(0.05, 0.2) * c.side
    pitch, from_ = r.uniform(4, 14), r.uniform(-1, 0.2) * length
    thread = np.sin(6.283 * (u + 0.25 * v) / pitch + c.rng.uniform(0, 6.3))
    half = np.where(u > length * r.uniform(0.55, 0.9), width * r.uniform(1.3, 2.2), width + np.where(u > from_, 1.2 * thread, 0))
    t = np.clip(v / half, -1, 1)
    z = 2 * np.sqrt(1 - t**2) - 1 + 1.5 * np.exp(-((t - r.uniform(-0.5, 0.5)) / 0.15) ** 2) + np.where(u > from_, 0.9 * thread, 0.1 * c.grain(0.5))
    m = soft(half - abs(v), 0.8) * soft(length - abs(u), 0.8)
    return z * m + (1 - m) * (r.uniform(-2, 1.5) + 0.2 * c.grain(0.9, 1))


def segment(y, x, p, q):
    """Distance of each pixel to the line from p to q."""
    d = q - p
    t = np.clip(((y - p[0]) * d[0] + (x - p[1]) * d[1]) / (d @ d + 1e-6), 0, 1)
    return np.hypot(y - p[0] - t * d[0], x - p[1] - t * d[1])


def shift(z, dy, dx):
    return np.roll(z, (round(float(dy)), round(float(dx))), (0, 1))


KINDS = [surface, brushed, tile, casting, grating, weave, dots, cells, blotches, assembled, flange, moulded, printed, board, screw, tile]


def walk(rng, side, bend, steps, step):
    """Distance to a random walk curve, in pixels."""
    p, a, points = rng.uniform(0.08, 0.92, 2) * side, rng.uniform(0, 2 * np.pi), []
    for _ in range(steps):
        points.append(p.copy())
        a += rng.normal(0, bend)
        p = p + step * np.array([np.sin(a), np.cos(a)])
    y, x = np.mgrid[0:side, 0:side]
    d = cKDTree(np.array(points)).query(np.stack([y.ravel(), x.ravel()], 1), distance_upper_bound=10.0)[0]
    return np.minimum(d, 1e3).reshape(side, side).astype(np.float32)


def flaw(rng, z, other):
    """Puts one defect on the field z: the new field, the mask, the number of its kind."""
    side = len(z)
    kind = int(rng.integers(1, len(DEFECTS) + 1))
    name = DEFECTS[kind - 1]
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    strength = rng.choice([-1, 1]) * np.exp(rng.uniform(np.log(0.5), np.log(5)))
    if name in ("scratch", "crack", "contamination"):
        bend = {"scratch": rng.uniform(0, 0.12), "crack": rng.uniform(0.1, 0.8), "contamination": rng.uniform(0.2, 0.5)}[name]
        d = walk(rng, side, bend, int(rng.integers(8, 60)), rng.uniform(1.2, 3))
        if name == "crack":
            strength = -abs(strength)
            if rng.random() < 0.5:
                d = np.minimum(d, walk(rng, side, bend, int(rng.integers(8, 40)), 1.5))
        m = np.exp(-((d / rng.uniform(0.6, 2.6)) ** 2))
        return z + strength * m, m > 0.3, kind
    cy, cx = rng.uniform(0.08, 0.92, 2) * side
    ry, rx = np.exp(rng.uniform(np.log(1.5), np.log(side * 0.14), 2))
    if name == "hole":
        ry, rx, strength = min(ry, 9), min(rx, 9), -abs(strength) * 1.5
    th = rng.uniform(0, np.pi)
    u, v = np.cos(th) * (x - cx) + np.sin(th) * (y - cy), -np.sin(th) * (x - cx) + np.cos(th) * (y - cy)
    e = np.sqrt((u / rx) ** 2 + (v / ry) ** 2) + rng.uniform(0, 0.35) * spectral(rng, side, 1.6)
    hard = soft((1 - e) * min(rx, ry), rng.uniform(0.5, 2))
    if name == "dent":
        light = np.cos(rng.uniform(0, 6.3)) * u / rx + np.sin(rng.uniform(0, 6.3)) * v / ry
        m = np.exp(-(e**2))
        return z + strength * light * m, m > 0.3, kind
    if name == "stain":
        m = np.exp(-(e**2))
        return z + 0.5 * strength * m * (1 + 0.4 * other), m > 0.4, kind
    if name == "hole":
        rim = np.exp(-(((e - 1) * 2) ** 2)) * rng.uniform(0, 1)
        return z + strength * hard - 0.5 * strength * rim, hard > 0.5, kind
    if name == "chip":
        a = rng.uniform(0, 2 * np.pi)
        m = hard * soft(np.cos(a) * (x - cx) + np.sin(a) * (y - cy))
        return z * (1 - m) + m * (strength + 0.3 * other), m > 0.5, kind
    if name == "patch":
        if rng.random() < 0.5:
            other = np.roll(np.rot90(z, rng.integers(1, 4)), rng.integers(3, side, 2), (0, 1))
        return z * (1 - hard) + hard * other, hard > 0.5, kind
    m, a, far = np.exp(-(e**2) * 0.7), rng.uniform(0, 2 * np.pi), rng.uniform(2, 9)
    return map_coordinates(z, [y + far * np.sin(a) * m, x + far * np.cos(a) * m], order=1, mode="reflect"), m > 0.4, kind


def picture(seed, number, design=None, defects=None, side=SIDE):
    """One picture: [side, side, 3] uint8, and its mask: 0 sound, else the kind of defect.

    design: one of DESIGNS, by chance where None. defects: how many, by chance where None.
    """
    rng = np.random.default_rng([seed, number])
    design = Design(int(rng.integers(DESIGNS)) if design is None else design)
    c = Canvas(rng, side, design)
    z = np.asarray(design.kind(c), np.float32)
    if defects is None:
        defects = 0 if rng.random() < 0.35 else int(rng.integers(1, 5))
    mask = np.zeros((side, side), np.uint8)
    if defects:
        other = spectral(rng, side, rng.uniform(0.5, 1.8), np.exp(rng.uniform(0, 2)), rng.uniform(0, np.pi))
    for _ in range(defects):
        z, m, kind = flaw(rng, z, other)
        mask[m] = kind
    if design.relief:  # seen as a relief under light from one side, as well as by its reflectance
        gy, gx = np.gradient(gaussian_filter(z, 0.7))
        z = 0.4 * z + 1.5 * (np.cos(design.theta) * gy + np.sin(design.theta) * gx)
    # Light that falls off, colours, then lens and sensor.
    k = int(rng.integers(2, 5))
    light = zoom(rng.normal(size=(k, k)), side / k, order=3, mode="nearest")[:side, :side]
    mean = design.mean + rng.normal(0, 0.05) + rng.uniform(0, 0.15) * light
    gain = design.contrast * np.exp(rng.normal(0, 0.2))
    if design.grey:
        image = np.repeat((mean + gain * z)[..., None], 3, -1)
    else:
        image = mean[..., None] * (1 + design.tint) + gain * z[..., None] * (1 + 0.3 * design.second)
    if rng.random() < 0.4:
        image = gaussian_filter(image, (rng.uniform(0.3, 1.6),) * 2 + (0,))
    noise = rng.standard_normal(image.shape, np.float32) * rng.uniform(0.001, 0.025)
    image = image + (noise.mean(-1, keepdims=True) * 1.7 if design.grey else noise)
    return (np.clip(image, 0, 1) * 255).astype(np.uint8), mask


def numbered(job):
    return picture(*job)


def pictures(seed, count, workers=2, progress=None):
    """count pictures and their masks, [count, SIDE, SIDE, 3] and [count, SIDE, SIDE] uint8."""
    images, masks = np.empty((count, SIDE, SIDE, 3), np.uint8), np.empty((count, SIDE, SIDE), np.uint8)
    jobs = ((seed, i) for i in range(count))
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for i, (images[i], masks[i]) in enumerate(pool.imap(numbered, jobs, chunksize=16)):
            if progress:
                progress(i + 1, count)
    return images, masks


def main():
    parser = argparse.ArgumentParser(description="Draws a sheet of renderings, defects marked below each.")
    parser.add_argument("--show", required=True, metavar="PNG")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    from PIL import Image

    rows = []
    for row in range(4):
        drawn = [picture(arguments.seed, 100 * row + i, design=16 * row + 4 * (row % 4) // 4 + i) for i in range(len(KINDS))]
        rows.append(np.concatenate([image for image, _ in drawn], 1))
        rows.append(np.concatenate([np.repeat(mask[..., None] * 28, 3, -1) for _, mask in drawn], 1))
    Image.fromarray(np.concatenate(rows)[::2, ::2]).save(arguments.show)


if __name__ == "__main__":
    main()
