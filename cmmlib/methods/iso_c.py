"""Iso-C, isotropic merging in the common subspace, one model at a time: Marczak et al., arXiv 2502.04959 (ICML 2025).

For a linear weight with task vectors τ_i (m, n) and k = min(m, n) (algorithm 1)::

    U S Vᵀ = Σ τ_i        M = λ · (Σ s_j / k) · U Vᵀ

All other parameters are λ times the mean, as in the published code. The sum is all that is kept. It is kept in float64, as
U Vᵀ divides by the singular values. Pairs of the SVD at or below 10⁻⁷ s_1 (`cmmlib.methods.spectral`) are dropped. The
published code keeps such pairs, whose vectors are arbitrary.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from .registry import Context, Interval, Value, method
from .right_sums import added, averaged, is_matrix
from .spectral import thin_svd


def _finish(merged: Value, ctx: Context, *, scaling_factor: float, **_: object) -> Tensor:
    """The task vector of one parameter from its sum."""
    if isinstance(merged, Tensor):
        return scaling_factor * merged
    total = merged["total"].flatten(1)
    if not total.any():
        return torch.zeros_like(merged["total"])
    u, s, v = thin_svd(total)
    flat = scaling_factor * s.sum() / min(total.shape) * (u @ v.T)
    return flat.reshape(merged["total"].shape)


@method(paper="https://arxiv.org/abs/2502.04959", finish=_finish, layerwise=True, convolutions=True, order_free=True)
def iso_c(
    merged: Value,
    task_vector: Tensor,
    ctx: Context,
    *,
    scaling_factor: Annotated[float, Interval(0, open=True)] = 1.0,
    convolution: bool = True,
) -> Value:
    """The sum of τ for linear weights, the mean for all other parameters; λ scales both.

    Args:
        scaling_factor: λ. Published: chosen on validation data; FusionBench's 1.5 for 8 tasks of ViT-B/32.
        convolution: treat convolutions as linear weights. Published: they are averaged.
    """
    if not is_matrix(ctx, convolution):
        return averaged(merged, task_vector, ctx)
    return added(merged, {"total": task_vector.double()}, ctx)
