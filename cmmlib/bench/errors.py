"""Errors of results, against float64."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ..methods import opcm
from ..methods.exact import solve_exact
from ..methods.losses import Quadratic, quadratic, rank_at
from .published_algorithms import published_clean
from .random_towers import Pair


def one_of_each_shape(pairs: Iterable[Pair]) -> list[Pair]:
    """The first pair of every shape."""
    found: dict[torch.Size, Pair] = {}
    for pair in pairs:
        found.setdefault(pair[0].shape, pair)
    return list(found.values())


def relative(ours: Tensor, reference: Tensor) -> float:
    """‖ours − reference‖ / ‖reference‖, in float64."""
    return float((ours.double() - reference.double()).norm() / reference.double().norm())


def cleaning_errors(merged: Tensor, tau: Tensor) -> tuple[float, float]:
    """Relative errors of the cleaned task vector against float64: ours, and the published algorithm's."""
    exact = published_clean(tau.double(), merged.double())
    ours = opcm.clean(tau, merged, alpha=0.5, zero_diagonal=True)
    return relative(ours, exact), relative(published_clean(tau, merged), exact)


def stationarity(old: Tensor, new: Tensor, a: float = 0.8) -> float:
    """The error of DOP-exact: ‖a ∇L_0 + (1 − a) ∇L_1‖ at our minimiser over that at the average of ``old`` and ``new``.

    The gradients are computed in float64 from an SVD.
    """
    first, second = (quadratic(d, "uv", 0.99999, dtype=torch.float64) for d in (old, new))
    x, _ = solve_exact(first, second, a)
    total = [torch.zeros_like(old, dtype=torch.float64) for _ in range(2)]
    for weight, d in ((a, old.double()), (1 - a, new.double())):
        u, s, vt = torch.linalg.svd(d, full_matrices=False)
        k = rank_at(s, 0.99999)
        loss = Quadratic(d, u[:, :k] * s[:k], vt[:k].T * s[:k])
        for i, at in enumerate((x.double(), (old.double() + new.double()) / 2)):
            total[i] += weight * loss.curvature(at - d)
    return float(total[0].norm() / total[1].norm())
