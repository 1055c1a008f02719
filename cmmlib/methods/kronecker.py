"""Online Kronecker merging (ours): a Gaussian per model with a Kronecker-factored precision, multiplied one by one.

Merging by the product of Gaussians takes each fine-tuned model for the mean of a Gaussian, and the most likely point of
their product for the merged model (Matena & Raffel, arXiv 2111.09832; Tam et al., arXiv 2312.04339). The precision of a
linear weight is a Kronecker product, as in K-FAC and the online Laplace approximation (Ritter et al., arXiv 1805.07810).
Here both of its factors come from the task vector τ_i (m, n) alone, with powers p (``input_power``) and q
(``output_power``) and a ridge ρ::

    A_i = (τ_iᵀ τ_i)^p / tr(·) + ρ ‖·‖₂ I (n, n)        G_i = (τ_i τ_iᵀ)^q / tr(·) + ρ ‖·‖₂ I (m, m)

The trace is that of the power, the norm that of the power so divided. The product of all Gaussians is most likely at the
X that minimises Σ tr(G_i (X − τ_i) A_i (X − τ_i)ᵀ). What is kept is one Gaussian: its mean X and its precision G ⊗ A. The
first model gives (τ_1, G_1, A_1). Then, for every model that arrives:

1. The mean of the product of both Gaussians, X′, solves G (X′ − X) A + G_t (X′ − τ_t) A_t = 0 (`product_mean`).
2. Its precision G ⊗ A + G_t ⊗ A_t is a sum of two Kronecker products. The nearest single one in the Frobenius norm
   (Van Loan & Pitsianis, 1993) takes its place (`nearest_product`).

Exact cases: a single model and identical models come back. With two models X′ is the minimiser for both. With (p, q) =
(1, 0) every G is a multiple of I, so step 2 is exact, and X′ is the minimiser of WUDI's objective, with the ridge that
pulls towards the models (`cmmlib.methods.wudi`), whatever the order. Otherwise the order matters, a little.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from .packed import pack, unpack
from .registry import Context, Interval, Value, method
from .right_sums import averaged, is_matrix
from .spectral import thin_svd


def power_factor(vectors: Tensor, squares: Tensor, power: float, ridge: float) -> Tensor:
    """(τᵀτ)^p / tr + ρ ‖·‖₂ I (n, n), or the same of τ τᵀ.

    Args:
        vectors: orthonormal eigenvectors (n, k) of τᵀτ; all other eigenvalues are zero.
        squares: their eigenvalues (k,), positive and descending.
        power: p. As 0^p = 0, what is not spanned only has the ridge; but the power 0 is I.
        ridge: ρ.
    """
    n = len(vectors)
    identity = torch.eye(n, dtype=vectors.dtype, device=vectors.device)
    if power == 0:
        return (1 + ridge) / n * identity
    values = (squares / squares[0]) ** power
    return ((vectors * values) @ vectors.T + ridge * identity) / values.sum()


def precisions(tau: Tensor, input_power: float, output_power: float, ridge: float) -> tuple[Tensor, Tensor]:
    """(G, A), (m, m) and (n, n), of a task vector τ (m, n) that is not zero."""
    u, s, v = thin_svd(tau)
    return power_factor(u, s**2, output_power, ridge), power_factor(v, s**2, input_power, ridge)


def both_eigenvectors(new: Tensor, old: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (n,) and eigenvectors V (n, n) of the pair (new, old): Vᵀ new V is diagonal and Vᵀ old V = I.

    Args:
        new, old: symmetric; ``old`` is positive definite.
    """
    lower = torch.linalg.cholesky(old)
    half = torch.linalg.solve_triangular(lower, new, upper=False)
    inner = torch.linalg.solve_triangular(lower, half.T, upper=False)
    values, vectors = torch.linalg.eigh((inner + inner.T) / 2)
    return values.clamp(min=0), torch.linalg.solve_triangular(lower.T, vectors, upper=True)


def product_mean(x: Tensor, tau: Tensor, g: tuple[Tensor, Tensor], a: tuple[Tensor, Tensor]) -> Tensor:
    """X′ (m, n) with G (X′ − X) A + G_t (X′ − τ) A_t = 0.

    In the generalised eigenvectors V_G of (G_t, G) and V_A of (A_t, A), with eigenvalues g and a, the change
    X′ − X = V_G Ê V_Aᵀ has (1 + g aᵀ) ∘ Ê = V_Gᵀ G_t (τ − X) A_t V_A.

    Args:
        g, a: (G, G_t) (m, m) and (A, A_t) (n, n).
    """
    (g_values, left), (a_values, right) = both_eigenvectors(g[1], g[0]), both_eigenvectors(a[1], a[0])
    change = (g[1] @ left).T @ (tau - x) @ (a[1] @ right)
    change /= 1 + torch.outer(g_values, a_values)
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
    """The inner products (2, 2) of two matrices."""
    flat = torch.stack([one.flatten(), other.flatten()])
    return flat @ flat.T


def _finish(merged: Value, ctx: Context, **_: object) -> Tensor:
    """The task vector of one parameter: the mean of what is kept."""
    return merged if isinstance(merged, Tensor) else merged["x"]


@method(paper="https://arxiv.org/abs/2111.09832", finish=_finish, layerwise=True, convolutions=True, keeps_first=True)
def kronecker(
    merged: Value,
    task_vector: Tensor,
    ctx: Context,
    *,
    input_power: Annotated[float, Interval(0)] = 0.75,
    output_power: Annotated[float, Interval(0)] = 0.25,
    ridge: Annotated[float, Interval(0, open=True)] = 1e-3,
    convolution: bool = True,
) -> Value:
    """(X, G, A) ← the Gaussian nearest to the product with (τ, G_t, A_t) for linear weights; the mean for all others.

    A task vector that is zero counts for nothing. G and A are kept packed, in the dtype of the merge.

    Args:
        input_power, output_power: p and q.
        ridge: ρ.
        convolution: treat convolutions as linear weights.
    """
    if not is_matrix(ctx, convolution):
        return averaged(merged, task_vector, ctx)
    old = merged if isinstance(merged, dict) and merged["g"].any() else None
    tau = task_vector.flatten(1).double()
    if not tau.any():
        return old or _state(tau, tau @ tau.T, tau.T @ tau, task_vector)
    g, a = precisions(tau, input_power, output_power, ridge)
    if old is None:
        return _state(tau, g, a, task_vector)
    old_g, old_a = unpack(old["g"]).double(), unpack(old["a"]).double()
    mean = product_mean(old["x"].flatten(1).double(), tau, (old_g, g), (old_a, a))
    x, y = nearest_product(gram_of(old_g, g), gram_of(old_a, a))
    return _state(mean, x[0] * old_g + x[1] * g, y[0] * old_a + y[1] * a, task_vector)


def _state(x: Tensor, g: Tensor, a: Tensor, like: Tensor) -> dict[str, Tensor]:
    return {"x": x.reshape(like.shape).to(like.dtype), "g": pack(g).to(like.dtype), "a": pack(a).to(like.dtype)}
