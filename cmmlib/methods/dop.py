"""DOP, dual orthogonal projections (NeurIPS 2025, OpenReview zD5cUX67b9), by the published solver or the exact one.

A linear weight has two losses, both quadratic (`cmmlib.methods.losses`): L_0 is zero at the merged model (stability), L_1
at the new one (plasticity). The next merged weight minimises a L_0 + (1 − a) L_1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from .exact import Front, minimise
from .losses import Quadratic, Space, quadratic
from .registry import Context, Interval, Kind, method


def mgda_weight(v00: float, v01: float, v11: float) -> float:
    """The c that makes c g0 + (1 − c) g1 shortest (MGDA: Sener & Koltun, arXiv 1810.04650, algorithm 1).

    Where one gradient alone is shortest, c is 0.999 or 0.001, as in the published code, instead of 1 or 0.

    Args:
        v00, v01, v11: the inner products ⟨g0, g0⟩, ⟨g0, g1⟩, ⟨g1, g1⟩.
    """
    if v01 >= v00:
        return 0.999
    if v01 >= v11:
        return 0.001
    return (v11 - v01) / (v00 + v11 - 2 * v01)


def solve_adam(
    old: Quadratic,
    new: Quadratic,
    *,
    lr: float,
    num_steps: int,
    alpha: float,
    mgda: bool,
    ema: bool,
    ema_beta: float,
) -> tuple[Tensor, float]:
    """The published solver: Adam on a L_0 + (1 − a) L_1, from the average of both task vectors.

    Args:
        old, new: L_0 and L_1 of one layer (m, n).
        lr, num_steps: of Adam.
        alpha: a, or with ``mgda`` and ``ema`` the first a.
        mgda: take a anew at every step: the MGDA weight c of the gradients, each divided by its loss.
        ema: smooth it, a ← β a + (1 − β) c; otherwise a = c.
        ema_beta: β.

    Returns:
        The task vector (m, n) after the last step, and the last a.
    """
    old, new = old.multiplied_out(), new.multiplied_out()
    # fused Adam ignores strides: x must lie in memory as its gradient does
    x = ((old.center + new.center) / 2).contiguous()
    optimizer = torch.optim.Adam([x], lr=lr, fused=True)
    # allocated once: the system would map and clear new memory of this size at every step
    e, h0, h1, gradient = (torch.empty_like(x) for _ in range(4))
    a = alpha
    for _ in range(num_steps):
        l0, l1 = (
            torch.dot(loss.curvature(torch.sub(x, loss.center, out=e), out=h).flatten(), e.flatten()).item()
            for loss, h in ((old, h0), (new, h1))
        )
        if mgda and l0 > 0 and l1 > 0:
            # h0 and h1 are half the gradients; a common factor does not change the weight
            v00, v01, v11 = (torch.dot(p.flatten(), q.flatten()).item() for p, q in ((h0, h0), (h0, h1), (h1, h1)))
            c = mgda_weight(v00 / l0**2, v01 / (l0 * l1), v11 / l1**2)
            a = ema_beta * a + (1 - ema_beta) * c if ema else c
        x.grad = torch.lerp(h1, h0, a, out=gradient).mul_(2)
        optimizer.step()
    return x, a


def _check(params: Mapping[str, Any], layers: Mapping[str, Kind]) -> None:
    """Names to exclude must be linear modules; a word for ``alpha`` needs the exact solver."""
    linear = {name.removesuffix(".weight") for name, kind in layers.items() if kind == "linear"}
    for key in params["exclude_keys"]:
        if key.removeprefix("vision_model.") not in linear:
            raise ValueError(
                f"method 'dop', parameter 'exclude_keys': {key!r} is not the name of a linear module of the base; "
                f"one of them is {min(linear, default='(there is none)')!r}"
            )
    if params["solver"] == "adam" and isinstance(params["alpha"], str):
        raise ValueError(f"method 'dop', parameter 'alpha': {params['alpha']!r} needs solver='exact'")


@method(
    paper="https://openreview.net/forum?id=zD5cUX67b9",
    check=_check,
    layerwise=True,
    keeps_first=True,
    separable=True,
    workspace=30.0,
)
def dop(
    merged: Tensor,
    task_vector: Tensor,
    ctx: Context,
    *,
    lr: Annotated[float, Interval(0, open=True)] = 1e-4,
    num_steps: Annotated[int, Interval(0)] = 200,
    mgda: bool = True,
    ema: bool = True,
    ema_beta: Annotated[float, Interval(0, 1)] = 0.999,
    alpha: Annotated[float, Interval(0, 1)] | Literal["balanced", "mgda"] = 0.8,
    svd_epsilon: Annotated[float, Interval(0, 1, open=True)] = 0.99999,
    svd_proj_space: Space = "uv",
    exclude_keys: tuple[str, ...] = (),
    solver: Literal["adam", "exact"] = "adam",
) -> Tensor | tuple[Tensor, dict[str, float]]:
    """The first model is taken as it is. Then a linear weight minimises a L_0 + (1 − a) L_1; all else is averaged.

    Reports per linear layer ``alpha`` (the final a), ``loss_stability`` (L_0), ``loss_plasticity`` (L_1) and
    ``degenerate``. The last is 1 where a task vector is zero: the layer is then the other model's.

    The exact solver uses neither ``lr``, ``num_steps``, ``mgda``, ``ema`` nor ``ema_beta``, with one exception:
    ``alpha="mgda"`` follows ``num_steps`` steps with ``ema_beta``.

    Args:
        lr, num_steps: of Adam. Published: 1e-4, 200.
        mgda: let the gradients choose a at every step; otherwise a = ``alpha`` throughout. Published: on.
        ema: smooth the weight c that they choose: a ← β a + (1 − β) c, from a = ``alpha``. Published: on.
        ema_beta: β. Published: 0.999.
        alpha: a, the weight of stability against plasticity. Published: 0.8. The exact solver also takes ``"balanced"``
            (the a where L_0 = L_1) and ``"mgda"`` (the a where the published recursion ends, starting at 0.8, if every
            step reaches the minimum).
        svd_epsilon: share of the sum of singular values that is kept. Published: 0.99999.
        svd_proj_space: terms of the losses: the left (``"u"``), the right (``"v"``) or both. Published: ``"uv"``.
        exclude_keys: names of linear modules to average instead.
        solver: ``"adam"``, as published, or ``"exact"``, the minimiser itself.
    """
    if ctx.t == 1:
        return task_vector
    if ctx.reference_compat and ctx.kind == "free":
        return torch.zeros_like(merged)  # the published code never visits it: it stays at the pretrained value
    excluded = ctx.name.removesuffix(".weight") in {key.removeprefix("vision_model.") for key in exclude_keys}
    if ctx.kind != "linear" or excluded:
        return (merged + task_vector) / 2
    if not task_vector.any():
        return merged, {"degenerate": 1.0}
    if not merged.any():
        return task_vector, {"degenerate": 1.0}
    compat = ctx.reference_compat
    dtype = torch.float64 if solver == "exact" else None
    losses = (quadratic(d, svd_proj_space, svd_epsilon, compat=compat, dtype=dtype) for d in (merged, task_vector))
    if solver == "exact":  # nothing here holds on to the losses, as wide ones are reduced
        x, a, l0, l1 = minimise(Front(*losses), alpha, beta=ema_beta, steps=num_steps)
    else:
        old, new = losses
        x, a = solve_adam(old, new, lr=lr, num_steps=num_steps, alpha=float(alpha), mgda=mgda, ema=ema, ema_beta=ema_beta)
        l0, l1 = old.gradient(x)[1], new.gradient(x)[1]
    return x, {"alpha": a, "loss_stability": l0, "loss_plasticity": l1, "degenerate": 0.0}
