"""Singular vectors through the smaller Gram matrix, in float64: what OPCM and DOP share."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

RANK_TOLERANCE = 1e-7
"""Singular values at or below this share of the largest one count as zero: they have no vectors of their own.
It is the rounding of float32 weights, and well above sqrt(2.2e-16) = 1.5e-8, below which a Gram matrix in float64
cannot tell singular vectors apart."""


class SVD(NamedTuple):
    """A thin SVD without its null space: ``u`` (m, k), ``s`` (k,) descending and positive, ``v`` (n, k)."""

    u: Tensor
    s: Tensor
    v: Tensor

    def truncated(self, rank: int) -> SVD:
        return SVD(self.u[:, :rank], self.s[:rank], self.v[:, :rank])


def gram(matrix: Tensor) -> Tensor:
    """The smaller of M Mᵀ and Mᵀ M, in float64."""
    matrix = matrix.double()
    return matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix


def thin_svd(matrix: Tensor, gram_matrix: Tensor | None = None) -> SVD:
    """Thin SVD of an (m, n) matrix from one symmetric eigendecomposition of its smaller Gram matrix, in float64.

    k is the number of singular values above `RANK_TOLERANCE` times the largest.  The signs of a pair of vectors,
    and the basis inside a repeated singular value, are arbitrary.

    Args:
        gram_matrix: ``gram(matrix)``, where it is at hand.
    """
    if matrix.shape[0] > matrix.shape[1]:
        v, s, u = thin_svd(matrix.T, gram_matrix)
        return SVD(u, s, v)
    values, u = torch.linalg.eigh(gram(matrix) if gram_matrix is None else gram_matrix)  # ascending
    rank = int((values > RANK_TOLERANCE**2 * values[-1:]).sum())
    u = u[:, len(values) - rank :].flip(1)
    scaled_v = matrix.double().T @ u  # (n, k), column i is s_i v_i
    # the norms of the columns are far more accurate than the roots of the eigenvalues for the small s_i
    s = torch.linalg.vector_norm(scaled_v, dim=0)
    return SVD(u, s, scaled_v / s)


def cumulative_share(s: Tensor) -> Tensor:
    """c_i = (s_0 + … + s_i) / Σ s: what both papers call energy (a share of the sum, not of the squares)."""
    c = s.cumsum(0)
    return c / c[-1:]  # not s.sum(): rounded otherwise, it can leave shares above 1
