"""The floor of the methods that keep sums, and of those near them: their factorisations and products, called directly.

Each takes a pair (M, τ) of matrices (m, n): what a model before it left and the task vector of the one that arrives. Gram
matrices and eigendecompositions of task vectors are in float64, as what the methods give depends on small singular values.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..methods import get_method
from ..methods.kronecker_algebra import both_eigenvectors
from ..methods.spectral import gram, outer


def floor_wudi(old: Tensor, new: Tensor) -> None:
    """WUDI: C and τ C, Cholesky's factor of S, and two triangular solves."""
    tau = new.double()
    s = outer(tau.T)
    d = outer(tau) @ tau if len(tau) < tau.shape[1] else tau @ s
    s.diagonal().add_(s.trace())
    torch.cholesky_solve(d.T, torch.linalg.cholesky(s))


def floor_iso_c(old: Tensor, new: Tensor) -> None:
    """Iso-C: a Gram matrix, its eigenvectors U, Uᵀ Σ τ, and the product with U."""
    total = _wide(old).double()
    _, u = torch.linalg.eigh(gram(total))
    u @ (u.T @ total)


def floor_tsv_m(old: Tensor, new: Tensor, share: float = 0.1) -> None:
    """TSV-Merge: an eigendecomposition, the products with k vectors, and both roots, in the span of 2 k directions."""
    tau = _wide(new)
    rank = int(share * len(tau))
    u = torch.linalg.eigh(gram(tau))[1][:, :rank]
    v = tau.double().T @ u
    r = u @ v.T
    for vectors in (u, v):
        p = outer(vectors)
        basis = torch.linalg.qr(p @ torch.randn(len(p), 2 * rank, dtype=p.dtype)).Q
        torch.linalg.eigh(basis.T @ (p @ basis))
        r = basis.T @ r if len(basis) == len(r) else r @ basis


def floor_nufilt(old: Tensor, new: Tensor, null_rank: int = 128) -> None:
    """NUFILT: two eigendecompositions, and the products with the vectors that are filtered out."""
    old, new = _wide(old), _wide(new)
    (_, past), _ = (torch.linalg.eigh(gram(matrix)) for matrix in (old, new))
    past = old.double().T @ past[:, -null_rank:]
    (new.double() @ past) @ past.T


def floor_kronecker(old: Tensor, new: Tensor, cap: float = get_method("kronecker").defaults["cap"]) -> None:
    """Online Kronecker merging: τ's eigendecomposition, the factors and their common eigenvectors, and the mean.

    At the large side of a wide weight that is the products with a basis of dimension s = 2 · cap · m, and the
    eigendecompositions of two matrices of that size.
    """
    old, new = _wide(old), _wide(new)
    m, n = new.shape
    _, u = torch.linalg.eigh(gram(new))
    g = u.float() @ u.T.float()
    g.diagonal().add_(1)
    _, left = both_eigenvectors(g, g)
    s = min(2 * round(cap * m), n)
    if dense := round(cap * m) + m >= n:
        v = new.T @ u.float()
        a = v @ v.T
        s = n
    else:
        v = new.T @ u[:, : s // 2].float()
        basis = torch.cat([v, old.T @ u[:, : s // 2].float()], 1)
        a = basis.T @ basis
    a.diagonal().add_(a.trace())
    _, right = both_eigenvectors(a, a)
    gap = new - old
    pulled = (g @ left).T
    inside = gap if dense else gap @ basis
    moved = left @ (pulled @ inside @ (a @ right)) @ right.T
    if not dense:
        left @ pulled @ gap
        moved @ basis.T
        basis @ torch.linalg.eigh(a)[1][:, s // 2 :]


def _wide(matrix: Tensor) -> Tensor:
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T


FLOORS = {
    "wudi": floor_wudi,
    "iso_c": floor_iso_c,
    "tsv_m": floor_tsv_m,
    "nufilt": floor_nufilt,
    "kronecker": floor_kronecker,
}
