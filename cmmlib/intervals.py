"""How sure a mean over orders is, and whether one method beats another on the same orders.

After Agarwal et al., arXiv 2108.13264, with the orders as runs: what varies is the order in which the models arrive, nothing
else; the intervals say nothing about other models or tasks.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray


def bootstrap_interval(values: ArrayLike, *, level: float = 0.95, resamples: int = 10_000) -> NDArray:
    """Percentile bootstrap interval of the mean over the first axis.

    Args:
        values: [orders, ...].
        level: of confidence.
        resamples: how often the orders are drawn anew with replacement; the same draws every time.

    Returns:
        [2, ...]: lower and upper end; NaN for a single order.
    """
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return np.full((2, *values.shape[1:]), np.nan)
    draws = np.random.default_rng(0).integers(len(values), size=(resamples, len(values)))
    tail = (1 - level) / 2
    return np.quantile(values[draws].mean(1), [tail, 1 - tail], axis=0)


def paired_differences(per_run: pd.DataFrame, against: str, metric: str = "acc") -> pd.DataFrame:
    """Every row minus one of them, order by order, over the orders that both have.

    Args:
        per_run: `cmmlib.scores.per_run_metrics`.
        against: label of the row to compare with.
        metric: one of its columns.

    Returns:
        Columns ``num_tasks``, ``label``, ``difference`` (mean, in points), ``low``, ``high`` (95 % bootstrap interval),
        ``improvement`` (share of the orders on which the row is the better one, a tie counting half) and ``orders``.

    Raises:
        ValueError: no such row.
    """
    if against not in set(per_run["label"]):
        raise ValueError(f"no row {against!r} to compare with; there are {', '.join(dict.fromkeys(per_run['label']))}")
    rows = []
    for number, part in per_run.groupby("num_tasks"):
        table = part.pivot(index="seed", columns="label", values=metric)
        for label in dict.fromkeys(part["label"]):
            if label == against or against not in table:
                continue
            difference = (table[label] - table[against]).dropna().to_numpy()
            if len(difference):
                low, high = bootstrap_interval(difference)
                better = (np.sign(difference).mean() + 1) / 2
                rows.append((number, label, difference.mean(), low, high, better, len(difference)))
    return pd.DataFrame(rows, columns=["num_tasks", "label", "difference", "low", "high", "improvement", "orders"])
