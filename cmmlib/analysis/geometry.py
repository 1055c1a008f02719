"""The geometry of task vectors: their angles, their spectra, and what OPCM's projection removes from them.

Pure functions of tensors.  ``τ`` is the task vector of one linear weight, (m, n).
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
    """Inner products ⟨τ_i, τ_j⟩ of several models' task vectors of one parameter, float64 [models, models].

    Summed over all parameters they are those of the whole models.

    Args:
        tensors: one task vector per model, all of one shape.
    """
    rows = torch.stack([tensor.double().flatten() for tensor in tensors])
    return (rows @ rows.T).cpu().numpy()


def cosines(products: ArrayLike) -> NDArray:
    """Cosine similarities from inner products, [models, models] to the same; NaN where a vector is zero."""
    products = np.asarray(products, dtype=float)
    norms = np.sqrt(np.diagonal(products))
    with np.errstate(invalid="ignore", divide="ignore"):
        return products / np.outer(norms, norms)


def effective_rank(s: Tensor) -> float:
    """The exponential of the entropy of s / Σ s (Roy & Vetterli, EUSIPCO 2007), from 1 to the number of singular values.

    It is zero if there are none.

    Args:
        s: singular values, (k,).
    """
    share = s.double() / s.double().sum()
    return math.exp(-torch.special.xlogy(share, share).sum().item()) if len(s) else 0.0


class Projection(NamedTuple):
    """What OPCM's projection does to one task vector τ, given A = U S Vᵀ, the sum of what it left of earlier ones.

    The attributes ``removed_…``, ``in_…`` and ``random_…`` are shares of ‖τ‖², from 0 to 1.

    Attributes:
        rank: r, the size of the block that is removed.
        pairs: k, the number of pairs of singular vectors of A.
        norm: ‖τ‖.
        removed_block: share of P[:r, :r], where P = Uᵀ τ V.
        removed_diagonal: share of P_ii for i ≥ r.
        in_left, in_right: share in the span of the first r left or right singular vectors, ‖U_rᵀ τ‖² or ‖τ V_r‖².
        random_block, random_diagonal, random_left, random_right: the same shares, as expected of a random direction.
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
    """Measure what `cmmlib.methods.opcm.clean` removes from a task vector.

    The ``removed_…`` and ``in_…`` shares are zero if either matrix is zero.

    Args:
        task_vector: τ, (m, n).
        accumulated: A, the sum of what `clean` left of earlier task vectors, (m, n).
        alpha: OPCM's share of singular values that sets r.
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
    """The `projection` of every task vector of one linear weight in an OPCM merge, in the order of merging.

    One weight suffices, as OPCM merges each on its own.  Nothing is removed from the first task vector.
    """
    found: list[Projection] = []
    accumulated = None
    for tau in task_vectors:
        if accumulated is None:
            accumulated = torch.zeros_like(tau)
        found.append(projection(tau, accumulated, alpha=alpha))
        accumulated = accumulated + (clean(tau, accumulated, alpha=alpha, zero_diagonal=True) if len(found) > 1 else tau)
    return found


OF_BERT = {"query": "q", "key": "k", "value": "v", "attention.output": "out", "intermediate": "fc1", "output": "fc2"}
"""The linear layers of a BERT-like block, by the names that their counterparts have in a CLIP's."""


def layer_of(name: str) -> tuple[int, str]:
    """Depth and kind of a weight from its name: ``encoder.layers.3.mlp.fc1.weight`` → (3, "fc1"); depth −1 without one.

    Layers that do the same have one kind, whatever the architecture calls them (`OF_BERT`).
    """
    depth = re.search(r"\.(\d+)\.", name)
    parents, _, last = name[depth.end() if depth else 0 :].removesuffix(".weight").rpartition(".")
    kind = parents if last == "dense" and parents else last.removesuffix("_proj")
    return int(depth[1]) if depth else -1, OF_BERT.get(kind, kind)
