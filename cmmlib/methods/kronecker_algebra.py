"""The algebra of `cmmlib.methods.kronecker`: factors, the mean of a product of two Gaussians, the nearest product."""

from __future__ import annotations

import torch
from torch import Tensor

from .spectral import thin_svd


def spectrum_of(squares: Tensor, size: int, power: float, ridge: float) -> tuple[Tensor, float]:
    """The eigenvalues e_j + c of (τᵀτ)^p / tr + ρ ‖·‖₂ I: (e (k,), c), where all other eigenvalues are c.

    Args:
        squares: the positive eigenvalues of τᵀτ (k,), descending.
        size: n. As 0^p = 0, what is not spanned has the ridge alone; but the power 0 is I.
        power: p.
        ridge: ρ.
    """
    if power == 0:
        return torch.zeros_like(squares), (1 + ridge) / size
    values = (squares / squares[0]) ** power
    total = values.sum().item()
    return values / total, ridge / total


def power_factor(vectors: Tensor, squares: Tensor, power: float, ridge: float) -> Tensor:
    """(τᵀτ)^p / tr + ρ ‖·‖₂ I (n, n), or the same of τ τᵀ, from the eigenvectors (n, k) of its positive eigenvalues (k,)."""
    excess, rest = spectrum_of(squares, len(vectors), power, ridge)
    factor = vectors * excess.to(vectors.dtype) @ vectors.T
    factor.diagonal().add_(rest)
    return factor


def precisions(tau: Tensor, input_power: float, output_power: float, ridge: float) -> tuple[Tensor, Tensor]:
    """(G, A), (m, m) and (n, n), of a task vector τ (m, n) that is not zero, in its dtype.

    The singular values are found in float64 in any case: a small power raises what rounding leaves of the small ones.
    """
    u, s, v = thin_svd(tau)
    u, v = u.to(tau.dtype), v.to(tau.dtype)
    return power_factor(u, s**2, output_power, ridge), power_factor(v, s**2, input_power, ridge)


def both_eigenvectors(old: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
    """Shares h (n,) and vectors V (n, n): Vᵀ (old + new) V = I and Vᵀ new V = diag(h), so Vᵀ old V = I − diag(h).

    The shares are between 0 and 1, so float32 is enough where the sum is well conditioned: a ridge sees to that.

    Args:
        old, new: symmetric and positive semidefinite; their sum is definite.
    """
    lower = torch.linalg.cholesky(old + new)
    half = torch.linalg.solve_triangular(lower, new, upper=False)
    inner = torch.linalg.solve_triangular(lower, half.T, upper=False)
    shares, vectors = torch.linalg.eigh(inner)
    return shares.clamp(0, 1), torch.linalg.solve_triangular(lower.T, vectors, upper=True)


def weights_of_both(g: Tensor, a: Tensor) -> Tensor:
    """(1 − g)(1 − a)ᵀ + g aᵀ (m, n): what the sum of both Kronecker products is in their common eigenvectors.

    Args:
        g, a: the shares of `both_eigenvectors`, (m,) and (n,).
    """
    return torch.outer(1 - g, 1 - a).addr_(g, a)


def product_mean(x: Tensor, tau: Tensor, g: tuple[Tensor, Tensor], a: tuple[Tensor, Tensor]) -> Tensor:
    """X′ (m, n) with G (X′ − X) A + G_t (X′ − τ) A_t = 0, in the dtype of its arguments.

    In the vectors V_G and V_A of `both_eigenvectors`, with shares g and a, the change X′ − X = V_G Ê V_Aᵀ has
    ((1 − g)(1 − a)ᵀ + g aᵀ) ∘ Ê = V_Gᵀ G_t (τ − X) A_t V_A.

    Args:
        g, a: (G, G_t) (m, m) and (A, A_t) (n, n).
    """
    (g_shares, left), (a_shares, right) = both_eigenvectors(*g), both_eigenvectors(*a)
    change = (g[1] @ left).T @ (tau - x) @ (a[1] @ right)
    change /= weights_of_both(g_shares, a_shares)
    return x + left @ change @ right.T


def nearest_product(gram_g: Tensor, gram_a: Tensor) -> tuple[Tensor, Tensor]:
    """Coefficients x and y (2,) of the Kronecker product (x_0 G + x_1 G_t) ⊗ (y_0 A + y_1 A_t) nearest to G⊗A + G_t⊗A_t.

    Rearranged, the sum is the matrix Σ vec(G) vec(A)ᵀ of rank two, and the nearest product its first singular pair. So x is
    an eigenvector of N = Α Γ, for the largest eigenvalue. All entries of N are ≥ 0, so none of x and y is negative (Perron).

    Args:
        gram_g: Γ (2, 2), the inner products of G and G_t.
        gram_a: Α (2, 2), those of A and A_t.
    """
    n = gram_a @ gram_g
    root = torch.sqrt((n[0, 0] - n[1, 1]) ** 2 + 4 * n[0, 1] * n[1, 0])
    largest = (n[0, 0] + n[1, 1] + root) / 2
    candidates = torch.stack([n[0, 1], largest - n[0, 0]]), torch.stack([largest - n[1, 1], n[1, 0]])
    x = max(candidates, key=lambda candidate: candidate.sum().item())
    x = x.clamp(min=0) / x.sum()
    y = gram_g @ x
    return x, y / (x @ y)


def gram_of(one: Tensor, other: Tensor) -> Tensor:
    """The inner products (2, 2) of two matrices, in float64."""
    flat = torch.stack([one.flatten(), other.flatten()]).double()
    return flat @ flat.T
