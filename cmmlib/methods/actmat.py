"""ACTMat and TACT, one model at a time: arXiv 2604.01329.

RegMean (Jin et al., arXiv 2212.09849) with the task vector's own C_i = τ_iᵀ τ_i in place of the inputs' second moments.
For a linear weight with task vectors τ_i (m, n)::

    M = (Σ τ_i C_i) (Σ C_i)⁺

TACT takes C_i from the largest entries of τ_i alone, half of them. It is WUDI's minimiser with weights of 1, and
solved by the same sums (`cmmlib.methods.right_sums`).
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from .registry import Context, Interval, Value, method
from .right_sums import added, averaged, is_matrix, right_sums, solve_right


def largest_entries(tau: Tensor, share: float) -> Tensor:
    """τ (m, n) with all but the ``share`` of its entries that are largest in magnitude set to zero."""
    cut = tau.numel() - round(share * tau.numel())
    if cut <= 0:
        return tau
    size = tau.abs()
    return tau.where(size > size.flatten().kthvalue(cut).values, 0)


def _finish(merged: Value, ctx: Context, *, ridge: float, **_: object) -> Tensor:
    """The task vector of one parameter from its sums."""
    return merged if isinstance(merged, Tensor) else solve_right(merged, ridge)


@method(paper="https://arxiv.org/abs/2604.01329", finish=_finish, layerwise=True, convolutions=True, order_free=True)
def actmat(
    merged: Value,
    task_vector: Tensor,
    ctx: Context,
    *,
    share: Annotated[float, Interval(0, 1, open=True)] = 1.0,
    ridge: Annotated[float, Interval(0)] = 0.0,
    convolution: bool = True,
) -> Value:
    """S ← S + C, D ← D + τ C for linear weights; the mean for all other parameters.

    Args:
        share: of the entries of τ, the largest, that C is taken from. Published: 1 (ACTMat), 0.5 (TACT).
        ridge: share of the largest eigenvalue of S that is added to its diagonal. Published: 0, the pseudo-inverse.
        convolution: treat convolutions as linear weights.
    """
    if not is_matrix(ctx, convolution):
        return averaged(merged, task_vector, ctx)
    guide = largest_entries(task_vector.flatten(1), share) if share < 1 else None
    return added(merged, right_sums(task_vector, 1.0, guide=guide), ctx)
