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

Exact cases, where nothing is cut: a single model and identical models come back. With two models X′ is the minimiser for
both. With (p, q) = (1, 0) every G is a multiple of I, so step 2 is exact, and X′ is the minimiser of WUDI's objective, with
the ridge that pulls towards the models (`cmmlib.methods.wudi`), whatever the order. Otherwise the order matters, a little.

Where one side is much larger than the other, as in the layers of an MLP, its factor is kept as a part of low rank and a
multiple of the identity (`cmmlib.methods.kronecker_capped`). Then a single model and identical models still come back. The
other exact cases hold only as far as the leading directions of all models but the last fit into the cut. The weights of such
a layer differ much from those without a cut, the accuracy little.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from .kronecker_algebra import gram_of, nearest_product, power_factor, precisions, product_mean, spectrum_of
from .kronecker_capped import Capped, capped_step, leading
from .packed import pack, unpack
from .registry import Context, Interval, Value, method
from .right_sums import averaged, is_matrix
from .spectral import gram, spectrum

Parts = dict[str, Tensor]


def _finish(merged: Value, ctx: Context, **_: object) -> Tensor:
    """The task vector of one parameter: the mean of what is kept."""
    return merged if isinstance(merged, Tensor) else merged["x"]


@method(
    paper="https://arxiv.org/abs/2111.09832",
    finish=_finish,
    layerwise=True,
    convolutions=True,
    keeps_first=True,
    separable=True,
)
def kronecker(
    merged: Value,
    task_vector: Tensor,
    ctx: Context,
    *,
    input_power: Annotated[float, Interval(0)] = 0.75,
    output_power: Annotated[float, Interval(0)] = 0.25,
    ridge: Annotated[float, Interval(0, open=True)] = 1e-3,
    cap: Annotated[float, Interval(0, open=True)] = 0.6,
    convolution: bool = True,
) -> Value:
    """(X, G, A) ← the Gaussian nearest to the product with (τ, G_t, A_t) for linear weights; the mean for all others.

    A task vector that is zero counts for nothing. G and A are kept packed. Singular values are found in float64, all else
    is in the dtype of the merge.

    Args:
        input_power, output_power: p and q.
        ridge: ρ.
        cap: the rank of the large factor of a weight (m, n) is at most cap · min(m, n); without a cap where that and
            min(m, n) together reach max(m, n).
        convolution: treat convolutions as linear weights.
    """
    if not is_matrix(ctx, convolution):
        return averaged(merged, task_vector, ctx)
    old = merged if isinstance(merged, dict) and merged["g"].any() else None
    if old is not None and not task_vector.any():
        return old
    turned = task_vector.shape[0] > task_vector[0].numel()  # so that the large side is always the right one
    tau = _wide(task_vector, turned)
    x = None if old is None else _wide(old["x"], turned)
    powers = (output_power, input_power) if turned else (input_power, output_power)
    rank = max(1, round(cap * len(tau)))
    merge = _merge_capped if rank + len(tau) < tau.shape[1] else _merge_dense
    new = merge(old, x, tau, *powers, ridge, rank)
    new["x"] = (new["x"].T if turned else new["x"]).reshape(task_vector.shape)
    return {name: part.to(task_vector.dtype) for name, part in new.items()}


def _wide(weight: Tensor, turned: bool) -> Tensor:
    """A weight as a matrix (m, n) with m ≤ n."""
    flat = weight.flatten(1)
    return flat.T if turned else flat


def _merge_dense(
    old: Parts | None, x: Tensor | None, tau: Tensor, input_power: float, output_power: float, ridge: float, rank: int
) -> Parts:
    if not tau.any():
        return {"x": tau, "g": pack(tau @ tau.T), "a": pack(tau.T @ tau)}
    g, a = precisions(tau, input_power, output_power, ridge)
    if old is None or x is None:
        return {"x": tau, "g": pack(g), "a": pack(a)}
    old_g, old_a = unpack(old["g"]), unpack(old["a"])
    mean = product_mean(x, tau, (old_g, g), (old_a, a))
    c, d = nearest_product(gram_of(old_g, g), gram_of(old_a, a))
    return {"x": mean, "g": pack(c[0] * old_g + c[1] * g), "a": pack(d[0] * old_a + d[1] * a)}


def _merge_capped(
    old: Parts | None, x: Tensor | None, tau: Tensor, input_power: float, output_power: float, ridge: float, rank: int
) -> Parts:
    if not tau.any():
        return {"x": tau, "g": pack(tau @ tau.T), "vectors": tau[:1].T, "values": tau[0, :1], "rest": tau[0, :1]}
    squares, u = spectrum(gram(tau))
    v = tau.T @ u[:, :rank].to(tau.dtype)
    v /= torch.linalg.vector_norm(v, dim=0)
    g = power_factor(u.to(tau.dtype), squares, output_power, ridge)
    excess, rest = leading(*spectrum_of(squares, len(v), input_power, ridge), len(v), rank)
    mean, factor = tau, Capped(v, excess + rest, rest)
    if old is not None and x is not None:
        kept = Capped(old["vectors"], old["values"].double(), old["rest"].item())
        mean, g, factor = capped_step(x, tau, (unpack(old["g"]), g), kept, v, excess, rest, rank)
    return {
        "x": mean,
        "g": pack(g),
        "vectors": factor.vectors,
        "values": factor.values,
        "rest": tau.new_tensor([factor.rest]),
    }
