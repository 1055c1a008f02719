"""Masks of the object in an image: how much of each pixel it covers, 0..255.

Masks of glyphs come from the asset file, so they do not depend on installed fonts or on FreeType.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from .raster import FINE, isqrt, shrink, warp
from .shipped import ZOO
from .tasks import SIDE, Domain, MiniTask


@cache
def assets() -> dict[str, np.ndarray]:
    """Glyph masks uint8 [classes, variants, 48, 48] by task; handwritten test digits uint8 [150, h, w]."""
    with np.load(ZOO / "assets.npz", allow_pickle=False) as data:
        return dict(data)


def object_mask(task: MiniTask, label: int, domain: Domain, rng: np.random.Generator) -> np.ndarray:
    """Coverage by the object of a class, int [36, 36] in 0..255."""
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
    """Coverage by a handwritten digit (uint8 [h, w]), enlarged and centred, int [36, 36] in 0..255.

    It is neither turned nor moved, as handwriting varies enough.
    """
    return warp(scan, domain.size[0], 0, np.zeros(2, dtype=np.int64))


def dots_mask(count: int, rng: np.random.Generator) -> np.ndarray:
    """Coverage by `count` discs that do not touch, int [36, 36] in 0..255."""
    radius = int(rng.integers(5, 8))  # in fine pixels
    v, u = np.mgrid[:FINE, :FINE]
    fine = np.zeros((FINE, FINE), dtype=np.int64)
    centres: list[tuple[int, int]] = []
    while len(centres) < count:
        x, y = rng.integers(radius, FINE - radius, size=2)
        if all((x - a) ** 2 + (y - b) ** 2 > (2 * radius + 4) ** 2 for a, b in centres):
            centres.append((x, y))
            fine[(u - x) ** 2 + (v - y) ** 2 <= radius**2] = 255
    return shrink(fine)


def texture_mask(label: int, rng: np.random.Generator) -> np.ndarray:
    """Coverage by a texture of random period and phase, int [36, 36] in 0..255; labels follow the task's class names."""
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
