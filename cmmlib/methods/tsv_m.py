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
packed. While T k is small, their eigenvectors are found in the span of so many (`inverse_root`).
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from .packed import packed_gram, unpack
from .registry import Context, Interval, Value, method
from .right_sums import added, averaged, is_matrix
from .spectral import gram, spectrum

CUTOFF = 1e-12
"""The share of the largest eigenvalue of P or Q at or below which one counts as zero."""

OVERSAMPLING = 10
"""So many random directions more than the rank, or the weakest one is found with a large error."""


def inverse_root(matrix: Tensor, rank: int | None = None) -> Tensor:
    """F (m, r) with F Fᵀ = P^{+½}, the root of the pseudo-inverse of a positive semidefinite matrix P (m, m).

    Args:
        matrix: P.
        rank: a bound on P's rank, if one is known. One below m/2 saves the eigendecomposition of P: that of Zᵀ P Z will
            do, with Z an orthonormal basis of P Ω for a few more random columns Ω, which spans all that P does (Halko et
            al., arXiv 0909.4061).
    """
    basis = None
    if rank is not None and 2 * (rank := rank + OVERSAMPLING) < len(matrix):
        generator = torch.Generator().manual_seed(0)
        random = torch.randn(len(matrix), rank, generator=generator, dtype=matrix.dtype).to(matrix.device)
        basis = torch.linalg.qr(matrix @ random).Q
        matrix = basis.T @ (matrix @ basis)
    values, vectors = torch.linalg.eigh(matrix)  # ascending
    rank = int((values > CUTOFF * values[-1]).sum())
    vectors = vectors[:, len(values) - rank :] / values[len(values) - rank :] ** 0.25
    return vectors if basis is None else basis @ vectors


def truncated(tau: Tensor, rank: int) -> dict[str, Tensor]:
    """One model's share of the sums: ``p`` = U Uᵀ and ``q`` = V Vᵀ, packed, in float64, and ``r`` = U S Vᵀ in τ's shape.

    Args:
        tau: τ, (m, n) or a convolution's (m, in, k, k).
        rank: k, of the truncated SVD.
    """
    flat = tau.flatten(1)
    turned = flat.shape[0] > flat.shape[1]
    wide = flat.T if turned else flat
    u = spectrum(gram(wide))[1][:, :rank]
    scaled_v = wide.double().T @ u  # (n, k), column i is s_i v_i
    v, r = scaled_v / torch.linalg.vector_norm(scaled_v, dim=0), u @ scaled_v.T
    if turned:
        u, v, r = v, u, r.T
    return {"p": packed_gram(u.T), "q": packed_gram(v.T), "r": r.reshape(tau.shape).to(tau.dtype)}


def merged_weight(sums: dict[str, Tensor], rank: int | None = None) -> Tensor:
    """M = P^{+½} R Q^{+½}, in the shape and dtype of R.

    Args:
        rank: a bound on the ranks of P and Q, if one is known: the number of models times k.
    """
    r = sums["r"]
    if not r.any():
        return torch.zeros_like(r)
    p, q = (inverse_root(unpack(sums[name]), rank) for name in "pq")
    return (p @ (p.T @ r.flatten(1).double() @ q) @ q.T).reshape(r.shape).to(r.dtype)


def kept_rank(weight: Tensor, share: float) -> int:
    """k = ⌊share · min(m, n)⌋ of a weight (m, n), or a convolution's, at least 1."""
    return max(1, int(share * min(weight.flatten(1).shape) + 1e-9))  # 0.1 · 30 is just below 3


def _finish(merged: Value, ctx: Context, *, share: float, **_: object) -> Tensor:
    """The task vector of one parameter from its sums."""
    if isinstance(merged, Tensor):
        return merged
    return merged_weight(merged, ctx.t * kept_rank(merged["r"], share))


@method(
    paper="https://arxiv.org/abs/2412.00081",
    finish=_finish,
    layerwise=True,
    convolutions=True,
    order_free=True,
    separable=True,
)
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
    return added(merged, truncated(task_vector, kept_rank(task_vector, share)), ctx)
