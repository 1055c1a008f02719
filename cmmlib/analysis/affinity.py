"""Whether task vectors point where their tasks' inputs do: the affinity of two subspaces of a layer's inputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def subspace_affinity(task_vectors: Sequence[Tensor], inputs: Sequence[Tensor], k: int) -> NDArray:
    """How much of each task vector's leading directions lies in each task's leading directions of inputs, for one layer.

    With V the first k right singular vectors of a task vector and X the first k principal directions of some inputs, both
    (n, k), it is ‖Vᵀ X‖² / k: 1 if they span the same space, k/n on average for random directions.

    Args:
        task_vectors: (m, n) each.
        inputs: of the layer, (..., n) each.
        k: at most m and n.

    Returns:
        [task vectors, inputs], in float64.
    """
    spans = [torch.linalg.svd(tau.double(), full_matrices=False)[2][:k] for tau in task_vectors]
    rows = [x.double().flatten(0, -2) for x in inputs]
    principal = [torch.linalg.eigh(x.T @ x)[1][:, -k:] for x in rows]
    return np.array([[((span @ x).square().sum() / k).item() for x in principal] for span in spans])


def own_and_other(affinities: NDArray) -> tuple[float, float]:
    """The mean affinity with the own task's inputs, and with those of other tasks.

    Args:
        affinities: [layers, tasks, tasks], of two tasks or more.
    """
    own = np.eye(affinities.shape[1], dtype=bool)
    return float(affinities[:, own].mean()), float(affinities[:, ~own].mean())
