"""Draws the images of the mini suite in seeded integer arithmetic, so that pixels agree on every machine.

An image is a mask (coverage 0..255 of the object) between a foreground and a patterned background, and noise.
Masks of glyphs come from the asset file, so neither fonts nor FreeType take part.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from zlib import crc32

import numpy as np

from .tasks import BY_NAME, RGB, Domain, MiniTask

ZOO = Path(__file__).parent / "zoo"  # the zoo that ships
SIDE = 36  # pixels of an image
TEST_SIZE = 150  # test images per task
FINE = 2 * SIDE  # masks are drawn at twice the resolution and averaged
ONE = 4096  # 1.0 in fixed point
GENERIC_CONTRAST = 24  # largest difference of the two background colours in pretraining, 0..255
GENERIC_NOISE = 12
PATTERNS = ("plain", "vertical", "horizontal", "rising", "falling", "checks", "rings", "speckle", "gradient")
COLOURS: tuple[RGB, ...] = (  # of the task "colours", in label order
    (214, 30, 36), (244, 136, 26), (240, 220, 40), (44, 160, 52), (50, 206, 196), (40, 70, 214),
    (128, 44, 168), (250, 130, 190), (122, 74, 36), (128, 128, 128), (248, 248, 248), (12, 12, 12),
)  # fmt: skip
Y, X = np.mgrid[:SIDE, :SIDE]


@cache
def assets() -> dict[str, np.ndarray]:
    """Glyph masks uint8 [classes, variants, 48, 48] by task; handwritten test digits uint8 [150, h, w]."""
    with np.load(ZOO / "assets.npz", allow_pickle=False) as data:
        return dict(data)


def generator(task: str, split: str, index: int) -> np.random.Generator:
    """The random numbers of one image: PCG64, seeded by task, split and index alone."""
    return np.random.Generator(np.random.PCG64([crc32(f"{task}/{split}".encode()), index]))


def label_of(task: MiniTask, index: int) -> int:
    """Labels cycle, so every stretch of a split is balanced."""
    return index % len(task.class_names)


def draw(task: MiniTask, split: str, index: int, scan: np.ndarray | None = None) -> np.ndarray:
    """Image number `index` of a split as uint8 [36, 36, 3].

    The split "generic" is what the backbone is pretrained on: clean renderings in random colours. Other
    splits are drawn in the task's domain; there, tasks of kind "scan" show the given `scan` (uint8 [h, w]).
    """
    rng = generator(task.name, split, index)
    domain = generic_domain(rng) if split == "generic" else task.domain
    label = label_of(task, index)
    mask = scan_mask(scan, domain) if scan is not None else object_mask(task, label, domain, rng)
    jitter = rng.integers(-domain.jitter, domain.jitter + 1, size=(3, 3))
    foreground, light = np.array(domain.foreground), None
    if task.kind == "colour":
        foreground, light = np.array(COLOURS[label]), foreground
    colours = np.clip(np.stack([foreground, np.array(domain.background), np.array(domain.second)]) + jitter, 0, 255)
    pattern = background_pattern(domain, rng)[:, :, None]
    image = (colours[1] * (255 - pattern) + colours[2] * pattern) // 255
    image = (image * (255 - mask[:, :, None]) + colours[0] * mask[:, :, None]) // 255
    if light is not None and split != "generic":
        image = image * light // 255
    image = image + rng.integers(-domain.noise, domain.noise + 1, size=image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def draw_test(task_name: str) -> tuple[np.ndarray, np.ndarray]:
    """The test set of a task: images uint8 [150, 36, 36, 3] and labels int64 [150]."""
    task = BY_NAME[task_name]
    scans = assets()[task_name] if task.kind == "scan" else [None] * TEST_SIZE
    images = np.stack([draw(task, "test", i, scans[i]) for i in range(TEST_SIZE)])
    return images, np.array([label_of(task, i) for i in range(TEST_SIZE)])


def generic_domain(rng: np.random.Generator) -> Domain:
    """A random clean look: plain colours with a clear difference in brightness, little noise."""
    while True:
        foreground, background = rng.integers(0, 256, size=(2, 3))
        if abs(int((foreground - background) @ [3, 6, 1])) >= 800:  # 80 of 255 in luma
            break
    second = np.clip(background + rng.integers(-GENERIC_CONTRAST, GENERIC_CONTRAST + 1, size=3), 0, 255)
    return Domain(
        foreground=tuple(foreground.tolist()),
        background=tuple(background.tolist()),
        second=tuple(second.tolist()),
        pattern=PATTERNS[rng.integers(len(PATTERNS))],
        period=int(rng.integers(2, 8)),
        noise=int(rng.integers(GENERIC_NOISE + 1)),
        jitter=0,
        size=(20, 34),
    )


def background_pattern(domain: Domain, rng: np.random.Generator) -> np.ndarray:
    """How much of the second background colour shows: int [36, 36] in 0..255, at a random phase."""
    p = domain.period
    dx, dy = rng.integers(0, 2 * p, size=2)
    x, y = X + dx, Y + dy
    match domain.pattern:
        case "vertical":
            return x // p % 2 * 255
        case "horizontal":
            return y // p % 2 * 255
        case "rising":
            return (x + y) // p % 2 * 255
        case "falling":
            return (x - y) // p % 2 * 255
        case "checks":
            return (x // p + y // p) % 2 * 255
        case "rings":
            return isqrt((X - SIDE // 2 + dx - p) ** 2 + (Y - SIDE // 2 + dy - p) ** 2) // p % 2 * 255
        case "speckle":
            coarse = rng.integers(0, 256, size=(SIDE // p + 1, SIDE // p + 1))
            return coarse[Y // p, X // p]
        case "gradient":
            return (x + y) % (2 * SIDE) * 255 // (2 * SIDE)
        case _:
            return np.zeros((SIDE, SIDE), dtype=np.int64)


def object_mask(task: MiniTask, label: int, domain: Domain, rng: np.random.Generator) -> np.ndarray:
    """Coverage of the object, int [36, 36] in 0..255."""
    if task.kind == "texture":
        return texture_mask(label, rng)
    if task.kind == "dots":
        return dots_mask(label + 1, rng)
    glyphs = assets()["digits" if task.kind == "scan" else task.name]
    variants = glyphs[0 if task.kind == "colour" else label]
    glyph = variants[rng.integers(len(variants))]
    extent = int(rng.integers(domain.size[0], domain.size[1] + 1))
    slack = (SIDE - extent) // 2 + 1
    shift = rng.integers(-slack, slack + 1, size=2)
    return warp(glyph, extent, int(rng.integers(domain.tilt[0], domain.tilt[1] + 1)), shift)


def scan_mask(scan: np.ndarray, domain: Domain) -> np.ndarray:
    """A handwritten digit, enlarged and centred: it has variety enough of its own."""
    return warp(scan, domain.size[0], 0, np.zeros(2, dtype=np.int64))


def warp(source: np.ndarray, extent: int, degrees: int, shift: np.ndarray) -> np.ndarray:
    """Square mask `source` scaled to `extent` pixels, turned and moved by `shift` pixels, in fixed point."""
    n = len(source)
    scale = n * ONE / (2 * extent)  # source pixels per fine pixel
    cos, sin = (round(f(math.radians(degrees)) * scale) for f in (math.cos, math.sin))
    v, u = np.mgrid[:FINE, :FINE]
    # twice the distance to the object's centre
    u, v = 2 * (u - 2 * shift[0]) - FINE + 1, 2 * (v - 2 * shift[1]) - FINE + 1
    x = (cos * u + sin * v + n * ONE - ONE) // 2
    y = (cos * v - sin * u + n * ONE - ONE) // 2
    padded = np.zeros((n + 3, n + 3), dtype=np.int64)
    padded[1 : n + 1, 1 : n + 1] = source
    column, row = np.clip(x // ONE + 1, 0, n + 1), np.clip(y // ONE + 1, 0, n + 1)
    fx, fy = x % ONE, y % ONE
    top = padded[row, column] * (ONE - fx) + padded[row, column + 1] * fx
    bottom = padded[row + 1, column] * (ONE - fx) + padded[row + 1, column + 1] * fx
    fine = (top * (ONE - fy) + bottom * fy) // (ONE * ONE)
    return shrink(fine)


def shrink(fine: np.ndarray) -> np.ndarray:
    """Mean over 2 x 2 pixels."""
    return fine.reshape(SIDE, 2, SIDE, 2).sum((1, 3)) // 4


def isqrt(squares: np.ndarray) -> np.ndarray:
    """Integer square root (IEEE square roots are exact enough for these small numbers)."""
    return np.sqrt(squares).astype(np.int64)


def dots_mask(count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` discs that do not touch."""
    radius = int(rng.integers(5, 8))  # in fine pixels
    v, u = np.mgrid[:FINE, :FINE]
    fine, centres = np.zeros((FINE, FINE), dtype=np.int64), []
    while len(centres) < count:
        x, y = rng.integers(radius, FINE - radius, size=2)
        if all((x - a) ** 2 + (y - b) ** 2 > (2 * radius + 4) ** 2 for a, b in centres):
            centres.append((x, y))
            fine[(u - x) ** 2 + (v - y) ** 2 <= radius**2] = 255
    return shrink(fine)


def texture_mask(label: int, rng: np.random.Generator) -> np.ndarray:
    """A texture that fills the image, at a random period and phase; labels as in the task's class names."""
    p = int(rng.integers(5, 11))  # in fine pixels
    dx, dy = rng.integers(0, 4 * p, size=2)
    v, u = np.mgrid[:FINE, :FINE]
    x, y = u + dx, v + dy
    thin = max(2, p // 3)
    match label:
        case 0:
            on = y // p % 2
        case 1:
            on = x // p % 2
        case 2:
            on = (x + y) * 5 // (7 * p) % 2
        case 3:
            on = (x - y) * 5 // (7 * p) % 2
        case 4:
            on = (x // p + y // p) % 2
        case 5:
            on = (x % (2 * p) < thin) | (y % (2 * p) < thin)
        case 6:
            on = isqrt((u - SIDE + dx // 4 - p // 2) ** 2 + (v - SIDE + dy // 4 - p // 2) ** 2) // p % 2
        case 7:
            on = (y + abs(x % (4 * p) - 2 * p)) // p % 2
        case 8:
            on = (x % (2 * p) - p) ** 2 + (y % (2 * p) - p) ** 2 <= (p * 2 // 3) ** 2
        case 9:
            on = rng.integers(0, 2, size=(FINE // 4, FINE // 4))[v // 4, u // 4]
        case _:
            row = y // p
            on = (y % p < thin) | ((x + row % 2 * p) % (2 * p) < thin)
    return shrink(np.asarray(on, dtype=np.int64) * 255)
