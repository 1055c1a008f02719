"""Patterned backgrounds."""

from __future__ import annotations

import numpy as np

from .raster import isqrt
from .tasks import SIDE, Domain

PATTERNS = ("plain", "vertical", "horizontal", "rising", "falling", "checks", "rings", "speckle", "gradient")
Y, X = np.mgrid[:SIDE, :SIDE]


def background_pattern(domain: Domain, rng: np.random.Generator) -> np.ndarray:
    """The share of the second background colour, at a random phase: int [36, 36] in 0..255."""
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
