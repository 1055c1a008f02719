"""The losses of DOP (NeurIPS 2025, OpenReview zD5cUX67b9): one quadratic per model and linear weight.

D_0 is the task vector of the merged model (stability), D_1 that of the new one (plasticity), X the one sought, all (m, n).
With E_i = X − D_i, and U_i, S_i, V_i the SVD of D_i cut at a rank, the losses are::

    L_i = ‖S_i U_iᵀ E_i‖² + ‖E_i V_i S_i‖²

Their gradients need no autograd. With P_i = U_i S_i² U_iᵀ (m, m) and Q_i = V_i S_i² V_iᵀ (n, n)::

    ∇L_i = 2 (P_i E_i + E_i Q_i)
    L_i = ½ ⟨∇L_i, E_i⟩

Let D̂_i = U_i S_i V_iᵀ be what the cut leaves of D_i. Then P_i = D̂_i D̂_iᵀ and Q_i = D̂_iᵀ D̂_i. So where nothing is cut,
no singular vectors are needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .spectral import RANK_TOLERANCE, cumulative_share, gram

Space = Literal["u", "v", "uv"]


class Quadratic(NamedTuple):
    """One loss L_i, in terms of its minimum D_i and the factors D̂_i and D̂_iᵀ of P_i and Q_i."""

    center: Tensor  # D_i (m, n)
    u: Tensor | None  # D̂_i (m, n); None where the space leaves out the left term
    v: Tensor | None  # D̂_iᵀ (n, m); None where it leaves out the right term
    p: Tensor | None = None  # P_i = u uᵀ (m, m), where it has been multiplied out
    q: Tensor | None = None  # Q_i = v vᵀ (n, n), likewise
    gram: Tensor | None = None  # D_i D_iᵀ or D_iᵀ D_i, the smaller one, in float64
    project: Callable[[Tensor], Tensor] | None = None  # onto the singular vectors kept on that side: D_i or D_iᵀ to D̂_i

    def gradient(self, x: Tensor) -> tuple[Tensor, float]:
        """(∇L_i, L_i) at ``x`` (m, n)."""
        e = x - self.center
        gradient = self.curvature(e).mul_(2)
        return gradient, torch.dot(gradient.flatten(), e.flatten()).item() / 2

    def curvature(self, e: Tensor, out: Tensor | None = None) -> Tensor:
        """P_i e + e Q_i: half the Hessian applied to ``e`` (m, n). Written to ``out`` where that is given."""
        result = torch.empty_like(e) if out is None else out
        if self.u is None:
            result.zero_()
        elif self.p is None:
            torch.mm(self.u, self.u.T @ e, out=result)
        else:
            torch.mm(self.p, e, out=result)
        if self.v is None:
            return result
        return result.addmm_(e @ self.v, self.v.T) if self.q is None else result.addmm_(e, self.q)

    def loss(self, x: Tensor) -> float:
        """L_i at ``x`` (m, n), for less than `gradient` costs."""
        e = x - self.center
        value = 0.0
        if self.p is not None:
            value += torch.sum((self.p @ e).mul_(e)).item()
        elif self.u is not None:
            value += torch.linalg.vector_norm(self.u.T @ e).item() ** 2
        if self.v is not None and (self.q is None or self.v.shape[1] < self.v.shape[0]):
            value += torch.linalg.vector_norm(e @ self.v).item() ** 2
        elif self.q is not None:
            value += torch.sum((e @ self.q).mul_(e)).item()
        return value

    def multiplied_out(self) -> Quadratic:
        """The same loss, with P_i and Q_i as matrices where one product with them costs less than two with the factors."""
        p, q = (
            f @ f.T if f is not None and square is None and 2 * f.shape[1] > f.shape[0] else square
            for f, square in ((self.u, self.p), (self.v, self.q))
        )
        return self._replace(p=p, q=q)

    def transposed(self) -> Quadratic:
        """The same loss of the transposed layer (n, m): left and right terms change places."""
        return Quadratic(self.center.T, self.v, self.u, self.q, self.p, self.gram, self.project)


def rank_at(s: Tensor, svd_epsilon: float, *, compat: bool = False) -> int:
    """How many singular values are kept: the fewest whose share of the sum reaches ε (paper).

    Args:
        s: singular values (k,), descending.
        svd_epsilon: ε.
        compat: as in the published code, which keeps those whose cumulative share is *below* ε: one fewer.
    """
    below = int(torch.searchsorted(cumulative_share(s), torch.tensor(svd_epsilon, dtype=s.dtype, device=s.device)))
    return below if compat else min(below + 1, len(s))


def quadratic(
    task_vector: Tensor, space: Space, svd_epsilon: float, *, compat: bool = False, dtype: torch.dtype | None = None
) -> Quadratic:
    """The loss of a model whose task vector on this layer is D (m, n); see the top of this module.

    Args:
        task_vector: D.
        space: the terms to use: left, right or both.
        svd_epsilon: share of the sum of singular values that is kept.
        compat: rank as in the published code (`rank_at`).
        dtype: of the factors. Default: that of D.
    """
    if task_vector.shape[0] > task_vector.shape[1]:
        other: dict[Space, Space] = {"u": "v", "v": "u", "uv": "uv"}
        return quadratic(task_vector.T, other[space], svd_epsilon, compat=compat, dtype=dtype).transposed()
    dtype = dtype or task_vector.dtype
    small = gram(task_vector)
    kept, p, project = task_vector, small, _identity
    if compat or not _all_are_kept(small, svd_epsilon):
        squares, vectors = torch.linalg.eigh(small)  # ascending
        s = squares.flip(0).clamp(min=0).sqrt()
        cut = len(s) - rank_at(s[s > RANK_TOLERANCE * s[0]], svd_epsilon, compat=compat)
        project = _projection(vectors[:, :cut], vectors[:, cut:])
        kept, p = project(task_vector.double()), project(small)
    kept = kept.to(dtype)
    u, p = (kept, p.to(dtype)) if "u" in space else (None, None)
    return Quadratic(task_vector, u, kept.T if "v" in space else None, p, None, small, project)


def _all_are_kept(gram_matrix: Tensor, svd_epsilon: float) -> bool:
    """Whether no singular value can be cut: the smallest is certainly above (1 − ε) Σ s.

    One Cholesky factorisation of the Gram matrix G (m, m) decides. As Σ s ≤ √(m Σ s²) = √(m tr G), it is enough that
    G − (1 − ε)² m tr(G) I is positive definite, by more than the rounding of G.
    """
    m = len(gram_matrix)
    share = (1 - svd_epsilon) ** 2 + torch.finfo(gram_matrix.dtype).eps
    shift = share * m * gram_matrix.trace()
    shifted = gram_matrix.clone()
    shifted.diagonal().sub_(shift)
    return not torch.linalg.cholesky_ex(shifted).info


def _identity(x: Tensor) -> Tensor:
    return x


def _projection(cut: Tensor, kept: Tensor) -> Callable[[Tensor], Tensor]:
    """The projection onto the columns of ``kept``; those of ``cut`` span the complement. The narrower one is used."""
    if cut.shape[1] < kept.shape[1]:
        return lambda x: x - cut @ (cut.T @ x)
    return lambda x: kept @ (kept.T @ x)
