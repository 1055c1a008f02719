"""TSV-Merge with a fixed rank, one model at a time: Gargiulo et al., arXiv 2412.00081 (CVPR 2025).

The paper cuts the SVD of each task vector τ_i (m, n) of a linear weight at rank k, puts U_i, S_i and V_i of all models side
by side, and replaces U = [U_1 … U_T] and V by their polar factors (algorithm 1)::

    M = polar(U) diag(S) polar(V)ᵀ        polar(U) = (U Uᵀ)^{+½} U

As U Uᵀ = Σ U_i U_iᵀ, this is a function of three sums of constant size::

    M = P^{+½} R Q^{+½}        P = Σ U_i U_iᵀ (m, m)    Q = Σ V_i V_iᵀ (n, n)    R = Σ U_i S_i V_iᵀ (m, n)

It differs from the paper in two ways. There k = r/T, with r = min(m, n) and T the number of models. Here T is not known
beforehand, and k is a fixed share of r. And null pairs are dropped: eigenvalues of P and Q at or below 10⁻¹² of the largest
count as zero, so columns are told apart that are 10⁻⁵ apart. The published code keeps what an SVD makes up for them, so of
two identical models it makes nonsense. Here they give the truncated τ, as a single one does. P and Q are kept in float64,
packed.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from .packed import pack, unpack
from .registry import Context, Interval, Value, method
from .right_sums import added, averaged, is_matrix
from .spectral import outer, thin_svd

CUTOFF = 1e-12
"""The share of the largest eigenvalue of P or Q at or below which one counts as zero."""


def inverse_root(matrix: Tensor) -> Tensor:
    """P^{+½}, the root of the pseudo-inverse, of a positive semidefinite matrix (m, m)."""
    values, vectors = torch.linalg.eigh(matrix)  # ascending
    rank = int((values > CUTOFF * values[-1]).sum())
    vectors = vectors[:, len(values) - rank :]
    return vectors / values[len(values) - rank :].sqrt() @ vectors.T


def truncated(tau: Tensor, rank: int) -> dict[str, Tensor]:
    """One model's share of the sums: ``p`` = U Uᵀ and ``q`` = V Vᵀ, packed, in float64, and ``r`` = U S Vᵀ in τ's shape.

    Args:
        tau: τ, (m, n) or a convolution's (m, in, k, k).
        rank: k, of the truncated SVD.
    """
    u, s, v = (part[..., :rank] for part in thin_svd(tau.flatten(1)))
    return {"p": pack(outer(u)), "q": pack(outer(v)), "r": (u * s @ v.T).reshape(tau.shape).to(tau.dtype)}


def merged_weight(sums: dict[str, Tensor]) -> Tensor:
    """M = P^{+½} R Q^{+½}, in the shape and dtype of R."""
    r = sums["r"]
    if not r.any():
        return torch.zeros_like(r)
    p, q = (inverse_root(unpack(sums[name])) for name in "pq")
    return (p @ r.flatten(1).double() @ q).reshape(r.shape).to(r.dtype)


def _finish(merged: Value, ctx: Context, **_: object) -> Tensor:
    """The task vector of one parameter from its sums."""
    return merged if isinstance(merged, Tensor) else merged_weight(merged)


@method(paper="https://arxiv.org/abs/2412.00081", finish=_finish, layerwise=True, convolutions=True, order_free=True)
def tsv_m(
    merged: Value,
    task_vector: Tensor,
    ctx: Context,
    *,
    share: Annotated[float, Interval(0, 1, open=True)] = 0.1,
    convolution: bool = True,
) -> Value:
    """P ← P + U Uᵀ, Q ← Q + V Vᵀ, R ← R + U S Vᵀ for linear weights; the mean for all other parameters.

    Args:
        share: of the singular values, the largest, that are kept: k = ⌊share · min(m, n)⌋, at least 1. Published: 1/T.
        convolution: treat convolutions as linear weights. Published: they are averaged.
    """
    if not is_matrix(ctx, convolution):
        return averaged(merged, task_vector, ctx)
    rank = max(1, int(share * min(task_vector.flatten(1).shape) + 1e-9))  # 0.1 · 30 is just below 3
    return added(merged, truncated(task_vector, rank), ctx)
