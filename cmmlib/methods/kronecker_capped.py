"""`cmmlib.methods.kronecker` for wide weights (m, n), n ≫ m: nothing of size n × n is formed.

The large factor is kept as its r leading eigenvectors and a multiple of the identity on all else::

    A = W diag(μ − α) Wᵀ + α I        W (n, r) orthonormal, μ (r,) their eigenvalues

That of the model that arrives is cut at rank r too, A_t = V diag(e) Vᵀ + c I, with V (n, k) leading right singular vectors
of τ, k ≤ r. Let Q (n, s) = [W, B] be an orthonormal basis of both, s ≤ 2r. In it A is diagonal, and step 1 is solved for
X Q. On the complement A = α I and A_t = c I, so there α G (X′ − X) + c G_t (X′ − τ) = 0.

The new factor y_0 A + y_1 A_t is cut at rank r again. In a cut, what is kept has its whole eigenvalue, and α is the mean of
all eigenvalues that are not kept, so the trace stays.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .kronecker_algebra import both_eigenvectors, gram_of, nearest_product, weights_of_both


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


def basis_of_both(w: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """An orthonormal basis Q (n, s) of the columns of W (n, r) and V (n, k), both orthonormal, that begins with W; and Qᵀ V.

    In the dtype of W, ε, but for Qᵀ V in float64. A direction in V that is nearer to W than ε^{3/8} counts as one of W's.
    """
    v = v.to(w.dtype)
    shared = w.T @ v
    remainder = v - w @ shared
    again = w.T @ remainder  # once leaves rounding that the division below would raise
    remainder -= w @ again
    squares, vectors = torch.linalg.eigh((remainder.T @ remainder).double())
    kept = squares > torch.finfo(w.dtype).eps ** 0.75
    vectors, norms = vectors[:, kept], squares[kept].sqrt()
    added = remainder @ (vectors / norms).to(w.dtype)
    return torch.cat([w, added], 1), torch.cat([(shared + again).double(), norms.unsqueeze(1) * vectors.T])


def cut(basis: Tensor, inner: Tensor, outside: float, rank: int) -> Capped:
    """The factor with ``inner`` (s, s) in the basis Q (n, s), ``outside`` · I on all else, cut at a rank."""
    (n, s), kept = basis.shape, min(rank, basis.shape[1])
    values, vectors = torch.linalg.eigh(inner.to(basis.dtype))  # ascending; A is but an estimate, and its trace is exact
    values, vectors = values[s - kept :].flip(0).double(), vectors[:, s - kept :].flip(1)
    trace = inner.trace() + (n - s) * outside
    return Capped(basis @ vectors, values, ((trace - values.sum()) / (n - kept)).item())


def leading(excess: Tensor, rest: float, size: int, rank: int) -> tuple[Tensor, float]:
    """The eigenvalues e_j + c of a factor (n, n), where all others are c, cut at a rank: e (at most rank,) and c.

    Args:
        excess, rest: e (k,), descending, and c.
        size: n.
    """
    kept, cut_off = excess[:rank], excess[rank:]
    raised = cut_off.sum().item() / (size - len(kept))
    return kept - raised, rest + raised


def capped_step(
    x: Tensor, tau: Tensor, g: tuple[Tensor, Tensor], a: Capped, v: Tensor, excess: Tensor, rest: float, rank: int
) -> tuple[Tensor, Tensor, Capped]:
    """One model's step: the new (X, G, A).

    All is in the dtype of X, but for eigenvalues and what the new factor is made of, which are in float64.

    Args:
        x, tau: X and τ (m, n).
        g: (G, G_t) (m, m).
        a: A.
        v, excess, rest: V (n, k), orthonormal, e (k,) and c of A_t.
        rank: at most so many eigenvectors are kept.
    """
    q, seen = basis_of_both(a.vectors, v)
    n, s = q.shape
    old = torch.cat([a.values, a.values.new_full((s - len(a.values),), a.rest)])  # A in the basis: a diagonal
    new = seen * excess @ seen.T
    new.diagonal().add_(rest)
    a_shares, right = both_eigenvectors(torch.diag(old).to(x.dtype), new.to(x.dtype))
    g_shares, left = both_eigenvectors(*g)
    pulled = (g[1] @ left).T

    gap = tau - x
    inside = gap @ q
    change = pulled @ inside @ (new.to(x.dtype) @ right)
    change /= weights_of_both(g_shares, a_shares)
    # on the complement X′ − X = F (τ − X), and τ − X there is all of it but for what is inside
    fading = left * (rest / (a.rest * (1 - g_shares) + rest * g_shares)) @ pulled
    moved = left @ change @ right.T - fading @ inside
    mean = x + fading @ gap + moved @ q.T

    outside = old.new_tensor([a.rest, rest])
    gram_a = gram_of(torch.diag(old), new) + (n - s) * torch.outer(outside, outside)
    c, d = nearest_product(gram_of(*g), gram_a)
    inner = d[1] * new
    inner.diagonal().add_(d[0] * old)
    return mean, c[0] * g[0] + c[1] * g[1], cut(q, inner, (d @ outside).item(), rank)
