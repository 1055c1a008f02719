"""What task vectors look like: angles between them, their spectra, and what OPCM's projection takes from them.

Pure functions of tensors; ``τ`` is the task vector of one linear weight, (m, n).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..methods.opcm import block_rank, clean
from ..methods.spectral import thin_svd


def inner_products(tensors: Sequence[Tensor]) -> NDArray:
    """⟨τ_i, τ_j⟩ of several models' task vectors of one parameter, [models, models], in float64.

    Those of the whole model are the sum over its parameters.
    """
    rows = torch.stack([tensor.double().flatten() for tensor in tensors])
    return (rows @ rows.T).cpu().numpy()


def cosines(products: ArrayLike) -> NDArray:
    """Cosine similarities from a matrix of inner products; NaN where a vector is zero."""
    products = np.asarray(products, dtype=float)
    norms = np.sqrt(np.diagonal(products))
    with np.errstate(invalid="ignore", divide="ignore"):
        return products / np.outer(norms, norms)


def effective_rank(s: Tensor) -> float:
    """exp of the entropy of s / Σ s (Roy & Vetterli, EUSIPCO 2007): between 1 and the number of singular values.

    Zero for a matrix without any.
    """
    share = s.double() / s.double().sum()
    return math.exp(-torch.special.xlogy(share, share).sum().item()) if len(s) else 0.0


class Projection(NamedTuple):
    """What OPCM's projection does to one task vector; ``removed_…`` and ``in_…`` are shares of ‖τ‖².

    Attributes:
        rank, pairs: r and the number k of pairs of singular vectors of what has been accumulated.
        norm: ‖τ‖.
        removed_block: P[:r, :r] of P = Uᵀ τ V.
        removed_diagonal: P_ii for i ≥ r.
        in_left, in_right: what lies in the span of the first r left (right) singular vectors, ‖U_rᵀ τ‖² and ‖τ V_r‖².
        random_block, random_diagonal, random_left, random_right: the same, expected of a random direction.
    """

    rank: int
    pairs: int
    norm: float
    removed_block: float
    removed_diagonal: float
    in_left: float
    in_right: float
    random_block: float
    random_diagonal: float
    random_left: float
    random_right: float


def projection(task_vector: Tensor, accumulated: Tensor, *, alpha: float) -> Projection:
    """Measure what `cmmlib.methods.opcm.clean` removes of τ (m, n), given the sum A (m, n) of what it left so far.

    Everything is a zero share where A or τ is zero.
    """
    m, n = task_vector.shape
    tau = task_vector.double()
    square = tau.square().sum().item()
    u, s, v = thin_svd(accumulated)
    r, k = block_rank(s, alpha), len(s)
    left, right = u.T @ tau, tau @ v[:, :r]
    parts = (
        (left[:r] @ v[:, :r]).square().sum(),
        (left[r:] * v[:, r:].T).sum(1).square().sum(),
        left[:r].square().sum(),
        right.square().sum(),
    )
    block, diagonal, in_left, in_right = (part.item() / square if square else 0.0 for part in parts)
    return Projection(
        rank=r,
        pairs=k,
        norm=math.sqrt(square),
        removed_block=block,
        removed_diagonal=diagonal,
        in_left=in_left,
        in_right=in_right,
        random_block=r * r / (m * n),
        random_diagonal=(k - r) / (m * n),
        random_left=r / m,
        random_right=r / n,
    )


def projections(task_vectors: Iterable[Tensor], *, alpha: float) -> list[Projection]:
    """One linear weight through an OPCM merge: the `projection` of every task vector in the order of merging.

    OPCM steps each layer on its own, so that this needs no other; nothing is removed from the first.
    """
    found: list[Projection] = []
    accumulated = None
    for tau in task_vectors:
        if accumulated is None:
            accumulated = torch.zeros_like(tau)
        found.append(projection(tau, accumulated, alpha=alpha))
        accumulated = accumulated + (clean(tau, accumulated, alpha=alpha, zero_diagonal=True) if len(found) > 1 else tau)
    return found


def layer_of(name: str) -> tuple[int, str]:
    """Depth and kind of a weight by its name: ``encoder.layers.3.mlp.fc1.weight`` → (3, "fc1"); depth −1 if it has none."""
    depth = re.search(r"\.(\d+)\.", name)
    return int(depth[1]) if depth else -1, name.removesuffix(".weight").rpartition(".")[2].removesuffix("_proj")
