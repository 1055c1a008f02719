"""Singular vectors through the smaller Gram matrix, in float64: what OPCM and DOP share.

Where things run: every tensor stays on the device of the parameter it belongs to, factorisations and the products they
rest on in float64 there, and nothing moves to the CPU but scalars (ranks, losses, weights; five per step of DOP's Adam) and
TIES's histograms, one synchronisation each.  On the CPU layers go side by side (`cmmlib.threads`), on a card one after the
other; cards whose float64 is slow have no other route.  None of this has been measured, or even run, on CUDA.
"""

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


def outer(matrix: Tensor) -> Tensor:
    """M Mᵀ (m, m) in float64, for M (m, n)."""
    m = len(matrix)
    result = matrix.new_zeros(m, m, dtype=torch.float64)
    height = m if m < 256 else -(-m // 8)
    for part in matrix.split(m, dim=1):  # square parts: no large copy in float64
        part = part.double()
        for i in range(0, m, height):  # the lower triangle in strips, little more than half of the full product
            result[i : i + height, : i + height].addmm_(part[i : i + height], part[: i + height].T)
    for i in range(0, m, height):
        result[:i, i : i + height] = result[i : i + height, :i].T
    return result


def gram(matrix: Tensor) -> Tensor:
    """The smaller of M Mᵀ and Mᵀ M, in float64."""
    return outer(matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T)


def cross_gram(left: Tensor, right: Tensor) -> Tensor:
    """L Rᵀ (m, m) in float64, for L and R (m, n)."""
    m = len(left)
    result = left.new_zeros(m, m, dtype=torch.float64)
    for one, other in zip(left.split(m, dim=1), right.split(m, dim=1), strict=True):
        result.addmm_(one.double(), other.double().T)
    return result


def spectrum(gram_matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The squares of the singular values above `RANK_TOLERANCE` times the largest, descending, and their vectors."""
    values, vectors = torch.linalg.eigh(gram_matrix)  # ascending
    rank = int((values > RANK_TOLERANCE**2 * values[-1:]).sum())
    return values[len(values) - rank :].flip(0), vectors[:, len(values) - rank :].flip(1)


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
    _, u = spectrum(gram(matrix) if gram_matrix is None else gram_matrix)
    scaled_v = matrix.double().T @ u  # (n, k), column i is s_i v_i
    # the norms of the columns are far more accurate than the roots of the eigenvalues for the small s_i
    s = torch.linalg.vector_norm(scaled_v, dim=0)
    return SVD(u, s, scaled_v / s)


def cumulative_share(s: Tensor) -> Tensor:
    """c_i = (s_0 + … + s_i) / Σ s: what both papers call energy (a share of the sum, not of the squares)."""
    c = s.cumsum(0)
    return c / c[-1:]  # not s.sum(): rounded otherwise, it can leave shares above 1
