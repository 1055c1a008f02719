"""A symmetric matrix in half its size: what sums of Gram matrices are kept in.

Rectangular full packed format (Gustavson et al., ACM TOMS 37, 2010). With h = ⌈n/2⌉ and the lower triangle cut into A₁₁
(h, h), A₂₁ below it and A₂₂, the triangle of A₂₂ is turned into the corner that A₁₁ leaves empty. Linear: the sum of
packed matrices is the packed sum.
"""

from __future__ import annotations

from torch import Tensor


def pack(matrix: Tensor) -> Tensor:
    """The lower triangle of a symmetric matrix (n, n): (n + 1, n/2) for even n, (n, (n + 1)/2) for odd n."""
    n = len(matrix)
    half, even = (n + 1) // 2, 1 - n % 2
    packed = matrix.new_empty(n + even, half)
    packed[even:] = matrix[:, :half]
    corner = packed[: n - half, 1 - even :]
    corner.copy_(corner.tril(-1) + matrix[half:, half:].triu())
    return packed


def unpack(packed: Tensor) -> Tensor:
    """The symmetric matrix (n, n), in a new tensor, whose packed form this is."""
    n = min(packed.shape[0], 2 * packed.shape[1])
    half, even = (n + 1) // 2, 1 - n % 2
    matrix = packed.new_zeros(n, n)
    matrix[:half, :half] = packed[even : half + even].tril()
    matrix[half:, :half] = packed[half + even :]
    matrix[half:, half:] = packed[: n - half, 1 - even :].triu().T
    return matrix.tril_().add_(matrix.tril(-1).T)
