"""WUDI-Merging, one model at a time: Cheng et al., arXiv 2503.08099 (ICML 2025).

For a linear weight with task vectors τ_i (m, n), the paper minimises (equation 13, with w_i = 1/‖τ_i‖²)::

    Σ w_i ‖(M − τ_i) τ_iᵀ‖²

by 300 steps of Adam from Σ τ_i. The minimiser solves M S = D with S = Σ w_i C_i, D = Σ w_i τ_i C_i and C_i = τ_iᵀ τ_i
(`cmmlib.methods.right_sums`), and the gradient is 2 (M S − D). So both solvers need sums alone. What they give is what the
batch method gives, whatever the order.

The exact minimiser has a ridge, of one of two kinds. Towards zero: M (S + ρ λ I) = D, with λ the largest eigenvalue of S;
this shrinks even a single model. Towards the models: the term ρ Σ w_i σ_1(τ_i)² ‖M − τ_i‖² is added, so C_i becomes
C_i + ρ σ_1(τ_i)² I in both sums, and a single model comes back. As ρ → 0 both end at the minimiser of least norm.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from .packed import unpack
from .registry import Context, Interval, Value, method
from .right_sums import Pull, added, averaged, is_matrix, right_sums, solve_right, squared_norm, squared_spectral_norm


def solve_adam(parts: dict[str, Tensor], *, num_steps: int, lr: float) -> Tensor:
    """The published solver: Adam on the objective, from Σ τ, in the dtype of the merge.

    Args:
        parts: ``s`` (packed), ``d`` and ``total`` = Σ τ, the latter two in the shape of the weight.
        num_steps, lr: of Adam. Published: 300, 1e-5.

    Returns:
        M, in the shape of the weight.
    """
    s, d = unpack(parts["s"]), parts["d"].flatten(1)
    x = parts["total"].flatten(1).clone()
    optimizer = torch.optim.Adam([x], lr=lr)
    for _ in range(num_steps):
        x.grad = (x @ s).sub_(d).mul_(2)
        optimizer.step()
    return x.reshape(parts["d"].shape)


def _finish(
    merged: Value, ctx: Context, *, solver: str, ridge: float, pull: Pull, num_steps: int, lr: float, **_: object
) -> Tensor:
    """The task vector of one parameter from its sums."""
    if isinstance(merged, Tensor):
        return merged
    if solver == "adam":
        return solve_adam(merged, num_steps=num_steps, lr=lr)
    if pull == "models":
        return solve_right(merged, definite=ridge > 0)
    return solve_right(merged, ridge)


@method(paper="https://arxiv.org/abs/2503.08099", finish=_finish, layerwise=True, convolutions=True, order_free=True)
def wudi(
    merged: Value,
    task_vector: Tensor,
    ctx: Context,
    *,
    solver: Literal["exact", "adam"] = "exact",
    ridge: Annotated[float, Interval(0)] = 1e-3,
    pull: Pull = "zero",
    convolution: bool = True,
    num_steps: Annotated[int, Interval(0)] = 300,
    lr: Annotated[float, Interval(0, open=True)] = 1e-5,
) -> Value:
    """S ← S + w C, D ← D + w τ C with w = 1/‖τ‖² for linear weights; the mean for all other parameters.

    A task vector that is zero counts for nothing.

    Args:
        solver: ``"exact"``, the minimiser, or ``"adam"``, as published, which also keeps Σ τ.
        ridge: ρ of the exact solver; 0 for the minimiser of least norm. Published: none, the early stop does its work.
        pull: where the ridge pulls to: ``"zero"``, or towards each of the ``"models"``.
        convolution: treat convolutions as linear weights. Published: they are left alone.
        num_steps, lr: of Adam. Published: 300, 1e-5.
    """
    if not is_matrix(ctx, convolution):
        return averaged(merged, task_vector, ctx)
    square = squared_norm(task_vector)
    exact = solver == "exact"
    strength = ridge * squared_spectral_norm(task_vector) if exact and pull == "models" else 0.0
    new = right_sums(task_vector, 1 / square if square > 0 else 0.0, pull=strength)
    if not exact:  # Adam needs no more precision than it had, but the sum that it starts from
        new = {"s": new["s"].to(task_vector.dtype), "d": new["d"], "total": task_vector}
    return added(merged, new, ctx)
