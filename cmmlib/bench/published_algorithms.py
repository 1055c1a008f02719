"""Plain implementations of the published algorithms, the baselines of the benchmark."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from .random_towers import Model, is_linear


def published_clean(tau: Tensor, merged: Tensor, alpha: float = 0.5) -> Tensor:
    """OPCM's projection as printed, by a full SVD in the matrices' own data type."""
    u, s, vt = torch.linalg.svd(merged, full_matrices=True)
    projected = u.T @ tau @ vt.T
    r = int((s.cumsum(0) / s.sum() > alpha).int().argmax())
    projected.diagonal().zero_()
    projected[:r, :r] = 0
    return u @ projected @ vt


def published_opcm(merged: Model, tau: Model) -> Model:
    """One step of OPCM on all parameters, without its scale."""
    return {name: m + (published_clean(tau[name], m) if is_linear(name) else tau[name]) for name, m in merged.items()}


def published_dop(old: Tensor, new: Tensor, steps: int) -> tuple[Tensor, float, float]:
    """DOP on one layer by autograd and Adam, as the published code does it.

    S is a diagonal matrix in the losses.  Each step takes one backward pass per loss, and a second forward and backward
    pass for their weighted sum.

    Returns:
        The result, the seconds of the two SVDs, and the seconds of one step.
    """
    start = time.perf_counter()
    factors = []
    for center in (old, new):
        u, s, vt = torch.linalg.svd(center, full_matrices=True)
        k = int(torch.searchsorted(s.cumsum(0) / s.sum(), 0.99999))
        factors.append((center, u[:, :k], torch.diag(s[:k]), vt.T[:, :k]))
    svd_seconds = time.perf_counter() - start

    def loss(x: Tensor, center: Tensor, u: Tensor, s: Tensor, v: Tensor) -> Tensor:
        e = x - center
        return torch.linalg.matrix_norm(s @ u.T @ e) ** 2 + torch.linalg.matrix_norm(e @ v @ s) ** 2

    x = ((old + new) / 2).requires_grad_()
    optimizer, a = torch.optim.Adam([x], lr=1e-4), 0.8
    start = time.perf_counter()
    for _ in range(steps):
        gradients = []
        for factor in factors:
            optimizer.zero_grad()
            value = loss(x, *factor)
            value.backward()
            assert x.grad is not None
            gradients.append(x.grad.detach().clone() / value.item())
        v00, v01, v11 = (
            torch.sum(p * q).item()
            for p, q in zip(gradients[:1] * 2 + gradients[1:], gradients[:1] + gradients[1:] * 2, strict=True)
        )
        c = 0.999 if v01 >= v00 else 0.001 if v01 >= v11 else (v11 - v01) / (v00 + v11 - 2 * v01)
        a = 0.999 * a + 0.001 * c
        optimizer.zero_grad()
        (a * loss(x, *factors[0]) + (1 - a) * loss(x, *factors[1])).backward()
        optimizer.step()
    return x.detach(), svd_seconds, (time.perf_counter() - start) / max(steps, 1)
