"""A symmetric matrix in half its size: what sums of Gram matrices are kept in.

Rectangular full packed format (Gustavson et al., ACM TOMS 37, 2010). With h = ⌈n/2⌉ and the lower triangle cut into A₁₁
(h, h), A₂₁ below it and A₂₂, the triangle of A₂₂ is turned into the corner that A₁₁ leaves empty. Linear: the sum of
packed matrices is the packed sum.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .spectral import outer


def halves(packed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Views of a packed matrix: A₁₁ in its lower triangle (h, h), A₂₁ (n − h, h), and A₂₂ in its upper triangle."""
    n = min(packed.shape[0], 2 * packed.shape[1])
    half, even = (n + 1) // 2, 1 - n % 2
    return packed[even : half + even], packed[half + even :], packed[: n - half, 1 - even :]


def pack(matrix: Tensor) -> Tensor:
    """The lower triangle of a symmetric matrix (n, n): (n + 1, n/2) for even n, (n, (n + 1)/2) for odd n."""
    n = len(matrix)
    half, even = (n + 1) // 2, 1 - n % 2
    packed = matrix.new_empty(n + even, half)
    packed[even:] = matrix[:, :half]
    _, _, corner = halves(packed)
    corner.copy_(corner.tril(-1) + matrix[half:, half:].triu())
    return packed


def packed_gram(matrix: Tensor) -> Tensor:
    """Mᵀ M (n, n) in float64, packed, for M (m, n); for n > 1 nothing of that size is formed."""
    n = matrix.shape[1]
    if n == 1:  # there is nothing to halve
        return pack(outer(matrix.T))
    half, even = (n + 1) // 2, 1 - n % 2
    matrix = matrix.double()
    left, right = matrix[:, :half], matrix[:, half:]
    packed = matrix.new_empty(n + even, half)
    first, below, corner = halves(packed)
    first.copy_(outer(left.T))
    torch.mm(right.T, left, out=below)
    corner.copy_(corner.tril(-1) + outer(right.T).triu())
    return packed


def unpack(packed: Tensor) -> Tensor:
    """The symmetric matrix (n, n), in a new tensor, whose packed form this is."""
    first, below, corner = halves(packed)
    half = len(first)
    matrix = packed.new_empty(half + len(below), half + len(below))
    matrix[:half, :half] = first.tril().add_(first.tril(-1).T)
    matrix[half:, :half] = below
    matrix[:half, half:] = below.T
    matrix[half:, half:] = corner.triu().add_(corner.triu(1).T)
    return matrix


def add_to_diagonal(packed: Tensor, value: float) -> None:
    """Add a number to the diagonal of a packed matrix, in place."""
    first, _, corner = halves(packed)
    first.diagonal().add_(value)
    corner.diagonal().add_(value)
