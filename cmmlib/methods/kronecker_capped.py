"""`cmmlib.methods.kronecker` for wide weights (m, n), n ≫ m: nothing of size n × n is formed.

The large factor is kept as its r leading eigenvectors and a multiple of the identity on all else::

    A = W diag(μ − α) Wᵀ + α I        W (n, r) orthonormal, μ (r,) their eigenvalues

That of the model that arrives, A_t = V diag(e) Vᵀ + c I, is of this form too, with V (n, k) the right singular vectors of
τ, k ≤ m. Let Q (n, s) = [W, B] be an orthonormal basis of both. In it A is diagonal, and step 1 is solved for X Q. On the
complement τ = 0, A = α I and A_t = c I, so there α G X′ + c G_t X′ = α G X.

The new factor y_0 A + y_1 A_t is cut at rank r again. What is kept has its whole eigenvalue, and α′ is the mean of all
eigenvalues that are not kept, so the trace stays.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .kronecker_algebra import both_eigenvectors, gram_of, nearest_product
from .spectral import SVD


class Capped(NamedTuple):
    """A = W diag(μ − α) Wᵀ + α I (n, n)."""

    vectors: Tensor  # W (n, r)
    values: Tensor  # μ (r,), descending
    rest: float  # α

    def dense(self) -> Tensor:
        """A itself."""
        full = self.vectors * (self.values - self.rest) @ self.vectors.T
        full.diagonal().add_(self.rest)
        return full


def basis_of_both(w: Tensor, v: Tensor) -> Tensor:
    """An orthonormal basis (n, s) of the columns of W (n, r) and V (n, k), both orthonormal, that begins with W."""
    remainder = v - w @ (w.T @ v)
    remainder -= w @ (w.T @ remainder)  # once leaves rounding that the division below would raise
    squares, vectors = torch.linalg.eigh(remainder.T @ remainder)
    kept = squares > 1e-12
    return torch.cat([w, remainder @ (vectors[:, kept] / squares[kept].sqrt())], 1)


def cut(basis: Tensor, inner: Tensor, outside: float, rank: int) -> Capped:
    """The factor with ``inner`` (s, s) in the basis Q (n, s), ``outside`` · I on all else, cut at a rank."""
    (n, s), kept = basis.shape, min(rank, basis.shape[1])
    values, vectors = torch.linalg.eigh(inner)  # ascending
    values, vectors = values[s - kept :].flip(0), vectors[:, s - kept :].flip(1)
    trace = inner.trace() + (n - s) * outside
    return Capped(basis @ vectors, values, ((trace - values.sum()) / (n - kept)).item())


def capped_step(
    x: Tensor, tau: Tensor, g: tuple[Tensor, Tensor], a: Capped, svd: SVD, excess: Tensor, rest: float, rank: int
) -> tuple[Tensor, Tensor, Capped]:
    """One model's step: the new (X, G, A).

    Args:
        x, tau: X and τ (m, n).
        g: (G, G_t) (m, m).
        a: A.
        svd: of τ.
        excess, rest: e (k,) and c of A_t.
        rank: at most so many eigenvectors are kept.
    """
    q = basis_of_both(a.vectors, svd.v)
    n, s = q.shape
    old = torch.cat([a.values, a.values.new_full((s - len(a.values),), a.rest)])  # A in the basis: a diagonal
    seen = q.T @ svd.v
    new = seen * excess @ seen.T
    new.diagonal().add_(rest)
    root = old.sqrt()
    a_values, right = torch.linalg.eigh(new / root / root.unsqueeze(1))
    right = right / root.unsqueeze(1)
    g_values, left = both_eigenvectors(g[1], g[0])

    inside = x @ q
    change = (g[1] @ left).T @ (tau @ q - inside) @ (new @ right)
    change /= 1 + torch.outer(g_values, a_values.clamp(min=0))
    ratio = (g_values * rest / a.rest).unsqueeze(1)
    outside = x - inside @ q.T
    faded = left @ (ratio / (1 + ratio) * ((g[0] @ left).T @ outside))
    mean = x + left @ change @ right.T @ q.T - faded

    gram_a = gram_of(torch.diag(old), new) + (n - s) * torch.outer(*2 * [old.new_tensor([a.rest, rest])])
    x_, y = nearest_product(gram_of(*g), gram_a)
    inner = y[1] * new
    inner.diagonal().add_(y[0] * old)
    factor = cut(q, inner, (y[0] * a.rest + y[1] * rest).item(), rank)
    return mean, x_[0] * g[0] + x_[1] * g[1], factor
