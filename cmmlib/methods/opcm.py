"""OPCM, orthogonal projection-based continual merging: Tang et al., arXiv 2501.09522.

The paper keeps M_t = (λ_{t−1} M_{t−1} + cleaned_t) / λ_t per parameter. λ_t is one number for the whole model: it makes
‖M_t‖ the mean norm of the task vectors so far. Singular vectors do not depend on scale. So we keep the unscaled sum
A_t = λ_t M_t instead and scale once, at the end::

    A_t = A_{t−1} + cleaned(τ_t; A_{t−1})
    merged = W0 + A_T · mean‖τ‖ / ‖A_T‖
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from .registry import Context, Interval, method
from .spectral import cross_gram, cumulative_share, gram, spectrum


def block_rank(s: Tensor, alpha: float, *, compat: bool = False) -> int:
    """r, the size of the block that is projected out: the first index (0-based) whose cumulative share exceeds alpha.

    With alpha = 1 no share does. Then all pairs are meant, r = k; the argmax of the published code gives 0.

    Args:
        s: singular values (k,), descending.
        compat: as in the published code.
    """
    above = cumulative_share(s) > alpha
    return int(above.int().argmax()) if above.any() or compat else len(s)


def clean(task_vector: Tensor, merged: Tensor, *, alpha: float, zero_diagonal: bool, compat: bool = False) -> Tensor:
    """The part of τ that the projection leaves (paper, eq. 5–7).

    With A = U S Vᵀ and P = Uᵀ τ V, the block P[:r, :r] is removed and, with ``zero_diagonal``, the diagonal of P. Then
    ⟨A, cleaned⟩ = 0 (theorem 5.1). A singular value of zero has no vectors of its own, so nothing is removed there (see
    `cmmlib.methods.spectral.RANK_TOLERANCE`).

    V is never computed. As V S = Aᵀ U, what is removed is U B S⁻² Uᵀ A, where B is P S = Uᵀ τ Aᵀ U with zeros outside
    the block and the diagonal.

    Args:
        task_vector: τ (m, n).
        merged: A (m, n), what is merged so far, at any scale.
        alpha: share of the sum of singular values that decides r (`block_rank`).
        zero_diagonal: whether the diagonal of P is removed too.
        compat: r as in the published code.

    Returns:
        (m, n), in the dtype of τ.
    """
    tall = merged.shape[0] > merged.shape[1]
    a, tau = (merged.T, task_vector.T) if tall else (merged, task_vector)
    m, n = a.shape
    squares, u = spectrum(gram(a))  # (k,) and (m, k), float64
    r = block_rank(squares.sqrt(), alpha, compat=compat)
    if not zero_diagonal:
        squares, u = squares[:r], u[:, :r]
    wide = n >= 2 * m
    if wide:  # one product of the two large matrices, τ Aᵀ, and then only small ones
        applied = cross_gram(tau, a) @ u  # τ Aᵀ U
        diagonal, block = torch.sum(u * applied, 0), u[:, :r].T @ applied[:, :r]
    else:
        right, applied = u.T @ a.double(), u.T @ tau.double()  # S Vᵀ, Uᵀ τ
        squares = torch.linalg.vecdot(right, right)  # more accurate than the eigenvalues for the small s_i
        diagonal, block = torch.linalg.vecdot(applied, right), applied[:r] @ right[:r].T
    left = u * (diagonal / squares)
    left[:, :r] = u[:, :r] @ (block / squares[:r])
    # the last product may be in the dtype of the result: each row of S Vᵀ is accurate relative to its own length
    dtype = task_vector.dtype
    if wide:
        gain = torch.linalg.vector_norm(left, dim=0).amax() * squares[0].sqrt() if len(squares) else 0
        # A is only accurate relative to s_0: the large factors of small singular values would magnify its rounding
        dtype = dtype if gain <= torch.linalg.vector_norm(tau) else torch.float64
        left, right = left @ u.T, a
    left, right = left.to(dtype), right.to(dtype)
    factors = (right.T, left.T) if tall else (left, right)
    return torch.addmm(task_vector.to(dtype), *factors, alpha=-1).to(task_vector.dtype)


def _rescale(merged: Tensor, ctx: Context, **_) -> Tensor:
    """A · mean‖τ‖ / ‖A‖."""
    if ctx.running_norm == 0:  # the task vectors cancel: no scale gives A their mean norm
        return merged
    return merged * (ctx.mean_norm / ctx.running_norm)  # theorem 5.2: ‖merged − W0‖ = mean‖τ‖


def _lambda(ctx: Context, **_) -> dict[str, float]:
    """The paper's λ_t, for the history."""
    return {"lambda": ctx.running_norm / ctx.mean_norm}


@method(
    paper="https://arxiv.org/abs/2501.09522",
    finish=_rescale,
    summary=_lambda,
    layerwise=True,
    keeps_first=True,
    separable=True,
    scales=True,
    workspace=12.0,
)
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
        alpha: share of the sum of singular values whose block is projected out. Published: 0.5.
        zero_diagonal: remove the diagonal of P too, as the paper says and as FusionBench does since March 2025; the
            authors' first code did not.
    """
    compat = ctx.reference_compat
    if compat and ctx.kind == "free" and ctx.t > 1:
        # the published code never adds to it, but rescales it at each step with all the rest
        return _rescale(merged, ctx)
    if ctx.kind == "linear" and ctx.t > 1:
        task_vector = clean(task_vector, merged, alpha=alpha, zero_diagonal=zero_diagonal, compat=compat)
    return merged + task_vector
