"""Singular vectors through the smaller Gram matrix, in float64: what OPCM and DOP share.

Where things run. Every tensor stays on the device of the parameter that it belongs to. Factorisations and the products
that they need are in float64 there; GPUs on which float64 is slow have no other route. Only scalars (ranks, losses,
weights; five per step of DOP's Adam) and what TIES counts move to the CPU, at one synchronisation each. On the CPU
layers are merged side by side (`cmmlib.threads`), on a GPU one after the other. None of this has been measured, or even
run, on CUDA.
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
    """A thin SVD M = U S Vᵀ without the null space: ``u`` (m, k), ``s`` (k,) descending and positive, ``v`` (n, k)."""

    u: Tensor
    s: Tensor
    v: Tensor


def outer(matrix: Tensor) -> Tensor:
    """M Mᵀ (m, m) in float64, for M (m, n)."""
    m = len(matrix)
    result = matrix.new_zeros(m, m, dtype=torch.float64)
    height = m if m < 256 else -(-m // 8)
    for part in matrix.split(m, dim=1):  # in square parts, which avoids a large copy in float64
        part = part.double()
        for i in range(0, m, height):  # the lower triangle only, in strips: little more than half of the full product
            result[i : i + height, : i + height].addmm_(part[i : i + height], part[: i + height].T)
    for i in range(0, m, height):
        result[:i, i : i + height] = result[i : i + height, :i].T
    return result


def gram(matrix: Tensor) -> Tensor:
    """The smaller of M Mᵀ and Mᵀ M, in float64, for M (m, n)."""
    return outer(matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T)


def cross_gram(left: Tensor, right: Tensor) -> Tensor:
    """L Rᵀ (m, m) in float64, for L and R (m, n)."""
    m = len(left)
    result = left.new_zeros(m, m, dtype=torch.float64)
    for one, other in zip(left.split(m, dim=1), right.split(m, dim=1), strict=True):
        result.addmm_(one.double(), other.double().T)
    return result


def spectrum(gram_matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The squares of the singular values (k,), descending, and their vectors (m, k), from a Gram matrix (m, m).

    Singular values at or below `RANK_TOLERANCE` times the largest are left out.
    """
    values, vectors = torch.linalg.eigh(gram_matrix)  # ascending
    rank = int((values > RANK_TOLERANCE**2 * values[-1:]).sum())
    return values[len(values) - rank :].flip(0), vectors[:, len(values) - rank :].flip(1)


def thin_svd(matrix: Tensor, gram_matrix: Tensor | None = None) -> SVD:
    """Thin SVD of a matrix (m, n), by one symmetric eigendecomposition of its smaller Gram matrix, in float64.

    k is the number of singular values above `RANK_TOLERANCE` times the largest. As in any SVD, the sign of a pair of
    vectors is arbitrary, and so is the basis that belongs to a repeated singular value.

    Args:
        gram_matrix: ``gram(matrix)``, if it is at hand.
    """
    if matrix.shape[0] > matrix.shape[1]:
        v, s, u = thin_svd(matrix.T, gram_matrix)
        return SVD(u, s, v)
    _, u = spectrum(gram(matrix) if gram_matrix is None else gram_matrix)
    scaled_v = matrix.double().T @ u  # (n, k), column i is s_i v_i
    # for small s_i the norm of the column is far more accurate than the root of the eigenvalue
    s = torch.linalg.vector_norm(scaled_v, dim=0)
    return SVD(u, s, scaled_v / s)


def cumulative_share(s: Tensor) -> Tensor:
    """c_i = (s_0 + … + s_i) / Σ s (k,): what both papers call energy, although it is of the sum, not of the squares."""
    c = s.cumsum(0)
    return c / c[-1:]  # s.sum() rounds differently: shares could exceed 1
