"""Kronecker merging with other products than the nearest in the Frobenius norm: a study, not methods to merge with.

`cmmlib.methods.kronecker` keeps, of the precision G ⊗ A + G_t ⊗ A_t of two models, the Kronecker product that is nearest in
the Frobenius norm.  Of a third task vector that is orthogonal to the others on both sides that product forgets the weaker
part.  Here two others take its place, all else being equal; factors are whole, as with a cap that cuts nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..methods import get_method, method
from ..methods.kronecker_algebra import both_eigenvectors, precisions, product_mean
from ..methods.registry import Context, Value
from ..methods.right_sums import averaged, is_matrix

Pair = tuple[Tensor, Tensor]
Product = Callable[[Pair, Pair], tuple[Tensor, Tensor]]
"""(G, G_t), (A, A_t) → one G and one A."""

ROUNDS = 50
"""Of the fixed point."""

_KRONECKER = get_method("kronecker")
POWERS = {name: _KRONECKER.defaults[name] for name in ("input_power", "output_power", "ridge")}


def kl_product(g: Pair, a: Pair) -> tuple[Tensor, Tensor]:
    """The product G′ ⊗ A′ whose Gaussian is nearest in the Kullback–Leibler divergence from it to that of G⊗A + G_t⊗A_t.

    Where the divergence tr((G⊗A + G_t⊗A_t)(G′⊗A′)⁻¹) + log det(G′⊗A′) is least, A′ = Σ tr(G_i G′⁻¹) A_i / m and
    G′ = Σ tr(A_i A′⁻¹) G_i / n.  Both are solved in turn.  In the vectors of `both_eigenvectors` all matrices are diagonal,
    with shares h and 1 − h, so a round takes O(m + n).

    Args:
        g, a: (G, G_t) (m, m) and (A, A_t) (n, n), positive definite.
    """
    (g_shares, _), (a_shares, _) = both_eigenvectors(*g), both_eigenvectors(*a)
    of_g, of_a = (torch.stack([1 - shares, shares]).double() for shares in (g_shares, a_shares))
    x = torch.ones(2, dtype=torch.double)
    for _ in range(ROUNDS):
        y = (of_g / (x @ of_g)).mean(1)
        x = (of_a / (y @ of_a)).mean(1)
    (x_old, x_new), (y_old, y_new) = x.tolist(), y.tolist()
    return x_old * g[0] + x_new * g[1], y_old * a[0] + y_new * a[1]


def added_factors(g: Pair, a: Pair) -> tuple[Tensor, Tensor]:
    """(G + G_t) ⊗ (A + A_t), which has the products of one model's G with another's A besides."""
    return g[0] + g[1], a[0] + a[1]


def _step(merged: Value, task_vector: Tensor, ctx: Context, product: Product) -> Value:
    if not is_matrix(ctx, convolution=True):
        return averaged(merged, task_vector, ctx)
    tau = task_vector.flatten(1)
    new_g, new_a = precisions(tau, **POWERS)
    if ctx.t == 1:
        return {"x": task_vector, "g": new_g, "a": new_a}
    assert isinstance(merged, dict)
    g, a = (merged["g"], new_g), (merged["a"], new_a)
    mean = product_mean(merged["x"].flatten(1), tau, g, a)
    kept_g, kept_a = product(g, a)
    return {"x": mean.reshape(task_vector.shape), "g": kept_g, "a": kept_a}


def _registered(step: Callable[..., Any]) -> Callable[..., Any]:
    """Registered under the full name alone, so that no list of methods shows it."""
    promises: dict[str, Any] = {"layerwise": True, "convolutions": True, "keeps_first": True, "separable": True}
    return method(step, name=f"{__name__}:{step.__name__}", finish=_KRONECKER.finish, **promises)


@_registered
def nearest_in_kl(merged: Value, task_vector: Tensor, ctx: Context) -> Value:
    """`kronecker` with `kl_product`."""
    return _step(merged, task_vector, ctx, kl_product)


@_registered
def added_up(merged: Value, task_vector: Tensor, ctx: Context) -> Value:
    """`kronecker` with `added_factors`."""
    return _step(merged, task_vector, ctx, added_factors)
