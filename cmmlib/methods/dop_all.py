"""All-task DOP: DOP's losses of all models so far in one quadratic, in constant memory and independent of the order.

A sum of quadratics is a quadratic. With τ_i = U_i S_i V_iᵀ the task vectors (m, n) of a linear weight, and weights w_i::

    Σ w_i (‖S_i U_iᵀ (X − τ_i)‖² + ‖(X − τ_i) V_i S_i‖²)

is minimal where P X + X Q = 2 R, with three sums over the models::

    P = Σ w_i τ_i τ_iᵀ (m, m)    Q = Σ w_i τ_iᵀ τ_i (n, n)    R = Σ w_i τ_i τ_iᵀ τ_i = Σ w_i U_i S_i³ V_iᵀ (m, n)

No SVD is needed. The left term alone (``u``) gives P X = R, the right term alone (``v``) X Q = R. With w_i = 1/‖τ_i‖² and
without a ridge the latter is the exact minimiser of WUDI-Merging's objective (Cheng et al., arXiv 2503.08099).
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from torch import Tensor

from .losses import Space
from .registry import Context, Interval, Value, method


def solve(parts: dict[str, Tensor], ridge: float) -> Tensor:
    """X (m, n), in float64, with P X + X Q = 2 R, or P X = R or X Q = R where ``parts`` has one side only.

    With λ_i and μ_j the eigenvalues of P and Q, it divides by λ_i + μ_j + ridge · max(λ + μ). X is zero in the directions
    where λ_i + μ_j vanishes to rounding.

    Args:
        parts: ``r`` (m, n), and ``p`` (m, m) or ``q`` (n, n) or both.
        ridge: share of the largest λ_i + μ_j that is added to all.
    """
    x = parts["r"].double() * (len(parts) - 1)
    zero = torch.zeros((), dtype=torch.float64, device=x.device)
    lam, left = torch.linalg.eigh(parts["p"].double()) if "p" in parts else (zero, None)
    mu, right = torch.linalg.eigh(parts["q"].double()) if "q" in parts else (zero, None)
    scale = lam.clamp(min=0).unsqueeze(-1) + mu.clamp(min=0)
    floor = max(x.shape) * torch.finfo(parts["r"].dtype).eps * scale.max()
    inverse = torch.where(scale > floor, 1 / (scale + ridge * scale.max()), 0)
    x = x if left is None else left.T @ x
    x = (x if right is None else x @ right) * inverse
    x = x if left is None else left @ x
    return x if right is None else x @ right.T


def _finish(merged: Value, ctx: Context, *, ridge: float, others: str, **_) -> Tensor:
    """The task vector of one parameter from what has been accumulated."""
    if isinstance(merged, Tensor):
        return merged / (ctx.t if others == "mean" else math.sqrt(ctx.t))
    return solve(merged, ridge).to(merged["r"].dtype)


@method(paper="https://openreview.net/forum?id=zD5cUX67b9", finish=_finish, layerwise=True, order_free=True)
def dop_all(
    merged: Value,
    task_vector: Tensor,
    ctx: Context,
    *,
    svd_proj_space: Space = "v",
    weighting: Literal["none", "norm"] = "none",
    ridge: Annotated[float, Interval(0)] = 1e-3,
    others: Literal["mean", "sqrt"] = "sqrt",
) -> Value:
    """P ← P + w τ τᵀ, Q ← Q + w τᵀ τ, R ← R + w τ τᵀ τ for linear weights; the sum of τ for all other parameters.

    Accumulates the dict of ``r``, ``p`` and ``q`` for a linear weight, only those that ``svd_proj_space`` needs.

    Args:
        svd_proj_space: terms of the losses: the left (``"u"``: keeps P), the right (``"v"``: keeps Q) or both.
        weighting: of each model's loss: w = 1 or, with ``"norm"``, w = 1/‖τ‖², per layer.
        ridge: share of the largest λ_i + μ_j that is added to all (see `solve`).
        others: what becomes of all other parameters: the mean of their task vectors, or the sum divided by √t.
    """
    if ctx.kind != "linear":
        return merged + task_vector
    tau = task_vector.double()
    square = torch.sum(tau**2)
    w = 1 / square if weighting == "norm" and square > 0 else 1.0
    outer = tau @ tau.T if tau.shape[0] <= tau.shape[1] or "u" in svd_proj_space else None
    inner = tau.T @ tau if outer is None or "v" in svd_proj_space else None
    new = {"r": outer @ tau if outer is not None else tau @ inner}
    new |= {"p": outer} if "u" in svd_proj_space else {}
    new |= {"q": inner} if "v" in svd_proj_space else {}
    new = {name: (w * part).to(task_vector.dtype) for name, part in new.items()}
    return new if ctx.t == 1 else {name: merged[name] + part for name, part in new.items()}
