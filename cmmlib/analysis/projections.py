"""What OPCM's projection removes over layers, orders and steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from .geometry import Projection, layer_of, projections
from .spectra import Weights

SHARES = [name for name in Projection._fields if name.startswith(("removed_", "in_", "random_"))]
"""The fields of `Projection` that are shares of ‖τ‖²."""


def opcm_projections(weights: Weights, orders: Mapping[tuple[int, int], Sequence[str]], alpha: float) -> pd.DataFrame:
    """OPCM's projection of every linear weight at every step of every order.

    Args:
        weights: the linear weights.
        orders: (number of tasks, seed) → tasks in the order of merging.
        alpha: OPCM's.

    Returns:
        Columns ``num_tasks``, ``seed``, ``alpha``, ``step`` (from 1), ``task``, ``layer``, ``depth``, ``kind`` and the
        fields of `Projection`.
    """
    rows = []
    for key, task_vectors in weights:
        for (number, seed), order in orders.items():
            steps = projections([task_vectors[task] for task in order], alpha=alpha)
            for step, (task, found) in enumerate(zip(order, steps, strict=True), 1):
                rows.append((number, seed, alpha, step, task, key, *layer_of(key), *found))
    columns = ["num_tasks", "seed", "alpha", "step", "task", "layer", "depth", "kind", *Projection._fields]
    return pd.DataFrame(rows, columns=columns)


def pooled_shares(part: pd.DataFrame, *by: str) -> pd.DataFrame:
    """`SHARES` of the sum of ‖τ‖² over all rows with the same values in the columns ``by``.

    Args:
        part: rows of `opcm_projections`.
    """
    squares, keys = part["norm"] ** 2, [part[name] for name in by]
    return part[SHARES].mul(squares, axis=0).groupby(keys).sum().div(squares.groupby(keys).sum(), axis=0)
