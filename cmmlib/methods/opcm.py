"""OPCM, orthogonal projection-based continual merging: Tang et al., arXiv 2501.09522.

The paper keeps M_t = (λ_{t−1} M_{t−1} + cleaned_t) / λ_t per parameter, with λ_t such that ‖M_t‖ over the whole model is
the mean norm of the task vectors.  Singular vectors do not see scale, so we keep the unscaled sum A_t = λ_t M_t and
scale once, at the end: A_t = A_{t−1} + cleaned(τ_t; A_{t−1}), merged = W0 + A_T · mean‖τ‖ / ‖A_T‖.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from .registry import Context, Interval, method
from .spectral import cross_gram, cumulative_share, gram, spectrum


def block_rank(s: Tensor, alpha: float, *, compat: bool = False) -> int:
    """r: the first index whose cumulative share of the descending singular values ``s`` exceeds alpha.

    None exceeds 1: all pairs are meant, but the published argmax gives 0.
    """
    above = cumulative_share(s) > alpha
    return int(above.int().argmax()) if above.any() or compat else len(s)


def clean(task_vector: Tensor, merged: Tensor, *, alpha: float, zero_diagonal: bool, compat: bool = False) -> Tensor:
    """The part of τ that the projection leaves (paper, eq. 5–7), for (m, n) matrices τ and A.

    With A = U S Vᵀ and P = Uᵀ τ V, the block P[:r, :r] and (``zero_diagonal``) the diagonal of P are removed.  Pairs whose
    singular value is zero have no vectors and stay (`cmmlib.methods.spectral.RANK_TOLERANCE`).  Then
    ⟨A, cleaned⟩ = 0 (theorem 5.1).

    As V S = Aᵀ U, what is removed is U B S⁻² Uᵀ A, where B keeps the block and the diagonal of P S = Uᵀ τ Aᵀ U.
    """
    tall = merged.shape[0] > merged.shape[1]
    a, tau = (merged.T, task_vector.T) if tall else (merged, task_vector)
    m, n = a.shape
    squares, u = spectrum(gram(a))  # (k,), (m, k), float64
    r = block_rank(squares.sqrt(), alpha, compat=compat)
    if not zero_diagonal:
        squares, u = squares[:r], u[:, :r]
    wide = n >= 2 * m
    if wide:  # the two large matrices meet once
        applied = cross_gram(tau, a) @ u  # τ Aᵀ U
        diagonal, block = torch.sum(u * applied, 0), u[:, :r].T @ applied[:, :r]
    else:
        right, applied = u.T @ a.double(), u.T @ tau.double()  # S Vᵀ, Uᵀ τ
        squares = torch.linalg.vecdot(right, right)  # more accurate than the eigenvalues for the small s_i
        diagonal, block = torch.linalg.vecdot(applied, right), applied[:r] @ right[:r].T
    left = u * (diagonal / squares)
    left[:, :r] = u[:, :r] @ (block / squares[:r])
    # The last product may round as the result does: in S Vᵀ each row is as accurate as it is long ...
    dtype = task_vector.dtype
    if wide:
        gain = torch.linalg.vector_norm(left, dim=0).amax() * squares[0].sqrt() if len(squares) else 0
        # ... but A itself is not: where its small singular values need a large factor, its rounding would grow with it
        dtype = dtype if gain <= torch.linalg.vector_norm(tau) else torch.float64
        left, right = left @ u.T, a
    left, right = left.to(dtype), right.to(dtype)
    factors = (right.T, left.T) if tall else (left, right)
    return torch.addmm(task_vector.to(dtype), *factors, alpha=-1).to(task_vector.dtype)


def _rescale(merged: Tensor, ctx: Context, **_) -> Tensor:
    if ctx.running_norm == 0:  # the task vectors cancel: no scale makes ‖A‖ their mean norm
        return merged
    return merged * (ctx.mean_norm / ctx.running_norm)  # theorem 5.2: ‖merged − W0‖ = mean‖τ‖


def _lambda(ctx: Context, **_) -> dict[str, float]:
    return {"lambda": ctx.running_norm / ctx.mean_norm}


@method(paper="https://arxiv.org/abs/2501.09522", finish=_rescale, summary=_lambda, layerwise=True, keeps_first=True)
def opcm(
    merged: Tensor,
    task_vector: Tensor,
    ctx: Context,
    *,
    alpha: Annotated[float, Interval(0, 1)] = 0.5,
    zero_diagonal: bool = True,
) -> Tensor:
    """A ← A + cleaned(τ; A) for linear weights, A ← A + τ for all other parameters.

    Args:
        alpha: share of the singular values' sum whose block is projected out (published: 0.5).
        zero_diagonal: remove the diagonal of P too, as the paper says and today's FusionBench does; the authors' first
            code did not.
    """
    compat = ctx.reference_compat
    if compat and ctx.kind == "free" and ctx.t > 1:
        # never visited by the published code, but rescaled at each step with all the rest
        return _rescale(merged, ctx)
    if ctx.kind == "linear" and ctx.t > 1:
        task_vector = clean(task_vector, merged, alpha=alpha, zero_diagonal=zero_diagonal, compat=compat)
    return merged + task_vector
