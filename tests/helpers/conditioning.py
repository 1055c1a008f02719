"""Matrices with chosen singular values, well conditioned and ill conditioned."""

from __future__ import annotations

import torch
from torch import Tensor

from .layers import f64, randn


def orthogonal(n: int, seed: int) -> Tensor:
    return torch.linalg.qr(randn(n, n, seed=seed))[0]


def with_values(m: int, n: int, values: list[float], seed: int = 0) -> Tensor:
    k = min(m, n)
    s = torch.tensor(values + [0.0] * (k - len(values)), dtype=f64)
    return (orthogonal(m, seed)[:, :k] * s) @ orthogonal(n, seed + 1)[:, :k].T


MATRICES = {
    "full rank": with_values(5, 7, [3, 2, 1, 0.5, 0.1]),
    "rank-deficient": with_values(6, 5, [2, 1, 1e-3]),
    "repeated": with_values(5, 5, [2, 2, 2, 1, 1]),
    "nearly repeated": with_values(5, 5, [2, 2 * (1 - 1e-9), 1, 1e-2, 1e-5]),
    "six decades": with_values(6, 6, [1, 1e-1, 1e-2, 1e-3, 1e-5, 1e-6]),
    "below the tolerance": with_values(5, 5, [1, 1e-2, 1e-9, 1e-11]),
    "zero": torch.zeros(4, 3, dtype=f64),
    "1 x n": with_values(1, 6, [0.3]),
    "n x 1": with_values(6, 1, [0.3]),
}
