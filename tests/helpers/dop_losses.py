"""DOP's losses for the tests: a pair on one layer, the formula as printed, and the parameters of the solvers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cmmlib.methods.losses import Quadratic, Space, quadratic

from .layers import randn

SOLVERS: list[dict[str, Any]] = [
    {"solver": "adam", "num_steps": 5},
    {"solver": "exact"},
    {"solver": "exact", "alpha": "balanced"},
]


def pair(shape: tuple[int, int], space: Space = "uv", epsilon: float = 0.99999, **options: Any) -> tuple[Quadratic, ...]:
    return tuple(quadratic(randn(*shape, seed=seed, **options), space, epsilon) for seed in (20, 21))


def printed_loss(task_vector: Tensor, x: Tensor, space: Space, epsilon: float) -> Tensor:
    """‖S Uᵀ E‖² + ‖E V S‖², with torch's SVD cut to the fewest singular values whose share of the sum reaches ε."""
    u, s, vt = torch.linalg.svd(task_vector, full_matrices=False)
    k = min(int((s.cumsum(0) / s.sum() < epsilon).sum()) + 1, len(s))
    e = x - task_vector
    loss = torch.zeros((), dtype=x.dtype)
    if "u" in space:
        loss = loss + (s[:k, None] * (u[:, :k].T @ e)).square().sum()
    if "v" in space:
        loss = loss + ((e @ vt[:k].T) * s[:k]).square().sum()
    return loss
