"""Pixel grids in integer arithmetic, so that pixels are the same on every machine."""

from __future__ import annotations

import math

import numpy as np

from .tasks import SIDE

FINE = 2 * SIDE  # masks are drawn at twice the resolution and averaged
ONE = 4096  # 1.0 in fixed point


def warp(source: np.ndarray, extent: int, degrees: int, shift: np.ndarray) -> np.ndarray:
    """Scale, turn and move a square mask in fixed point, with bilinear interpolation: int [36, 36] in 0..255.

    Args:
        source: [n, n] in 0..255.
        extent: its side in pixels after scaling.
        degrees: angle of rotation.
        shift: x and y of its centre from the image's centre, in pixels.
    """
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
    """Mean over 2 × 2 pixels, rounded down: [72, 72] to [36, 36]."""
    return fine.reshape(SIDE, 2, SIDE, 2).sum((1, 3)) // 4


def isqrt(squares: np.ndarray) -> np.ndarray:
    """Integer square root, exact for numbers as small as these."""
    return np.sqrt(squares).astype(np.int64)
