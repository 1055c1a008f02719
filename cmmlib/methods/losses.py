"""The losses of DOP (NeurIPS 2025, OpenReview zD5cUX67b9): one quadratic per model and linear weight.

With task vectors D_0 of the merged model (stability) and D_1 of the new one (plasticity), their SVDs cut at a rank, X the
task vector sought and E_i = X − D_i, the two losses are ``L_i = ‖S_i U_iᵀ E_i‖² + ‖E_i V_i S_i‖²``.  With
P_i = U_i S_i² U_iᵀ and Q_i = V_i S_i² V_iᵀ their gradients need no autograd: ``∇L_i = 2 (P_i E_i + E_i Q_i)`` and
``L_i = ½ ⟨∇L_i, E_i⟩``.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .spectral import SVD, cumulative_share, gram, thin_svd

Space = Literal["u", "v", "uv"]


class Quadratic(NamedTuple):
    """One loss L_i about its own optimum ``center`` = D_i (m, n), with thin factors ``u`` = U_i S_i, ``v`` = V_i S_i."""

    center: Tensor
    u: Tensor | None  # (m, k) or None where the space leaves the term out
    v: Tensor | None  # (n, k)
    p: Tensor | None = None  # (m, m) = u uᵀ, where it has been multiplied out
    q: Tensor | None = None  # (n, n) = v vᵀ
    gram: Tensor | None = None  # D_i D_iᵀ or D_iᵀ D_i, the smaller, in float64, where it is at hand

    def gradient(self, x: Tensor) -> tuple[Tensor, float]:
        """(∇L_i, L_i) at ``x`` (m, n)."""
        e = x - self.center
        gradient = self.curvature(e).mul_(2)
        return gradient, torch.dot(gradient.flatten(), e.flatten()).item() / 2

    def curvature(self, e: Tensor) -> Tensor:
        """P_i e + e Q_i, half the Hessian applied to ``e`` (m, n)."""
        if self.u is None:
            result = torch.zeros_like(e)
        elif self.p is None:
            result = self.u @ (self.u.T @ e)
        else:
            result = self.p @ e
        if self.v is None:
            return result
        return result.addmm_(e @ self.v, self.v.T) if self.q is None else result.addmm_(e, self.q)

    def multiplied_out(self) -> Quadratic:
        """The same loss with P_i and Q_i as matrices where one product with them is cheaper than two with the factors."""
        p, q = (f @ f.T if f is not None and 2 * f.shape[1] > f.shape[0] else None for f in (self.u, self.v))
        return self._replace(p=p, q=q)

    def transposed(self) -> Quadratic:
        return Quadratic(self.center.T, self.v, self.u, self.q, self.p, self.gram)


def rank_at(s: Tensor, svd_epsilon: float, *, compat: bool = False) -> int:
    """How many of the descending singular values ``s`` are kept: the fewest whose share of the sum reaches ε.

    The published code keeps those whose cumulative share is *below* ε: one fewer.
    """
    below = int(torch.searchsorted(cumulative_share(s), torch.tensor(svd_epsilon, dtype=s.dtype, device=s.device)))
    return below if compat else min(below + 1, len(s))


def quadratic(
    task_vector: Tensor, space: Space, svd_epsilon: float, *, compat: bool = False, dtype: torch.dtype | None = None
) -> Quadratic:
    """The loss of one model with task vector D (m, n) on this layer; see the top of this module.

    Args:
        dtype: of the factors; default: D's.
    """
    small = gram(task_vector)
    svd: SVD = thin_svd(task_vector, small)
    svd = svd.truncated(rank_at(svd.s, svd_epsilon, compat=compat))
    dtype = dtype or task_vector.dtype
    u = (svd.u * svd.s).to(dtype) if "u" in space else None
    v = (svd.v * svd.s).to(dtype) if "v" in space else None
    return Quadratic(task_vector, u, v, gram=small)
