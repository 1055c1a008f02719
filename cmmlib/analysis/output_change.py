"""How much a changed weight changes its layer's output, and whether a loss ranks the changes rightly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from torch import Tensor


def output_change(inputs: Sequence[Tensor], change: Tensor) -> float:
    """‖x Δᵀ‖² per image, the mean over tasks, in float64.

    Args:
        inputs: of the layer, for each task (images, ..., n).
        change: Δ (m, n), of the layer's weight.
    """
    delta = change.double()
    return float(np.mean([(x.double().flatten(0, -2) @ delta.T).square().sum().item() / len(x) for x in inputs]))


def correlations_within(points: pd.DataFrame, x: str, y: str, within: str) -> tuple[float, float]:
    """Spearman's rank correlation of two columns: within groups (the mean over them), and over all rows.

    Args:
        points: a row per point.
        x, y: the columns.
        within: the column that names the groups.
    """
    inside = [part[x].rank().corr(part[y].rank()) for _, part in points.groupby(within)]
    return float(np.mean(inside)), float(points[x].rank().corr(points[y].rank()))
