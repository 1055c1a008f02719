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
        per_run: `cmmlib.analysis.runs.per_run_metrics`.
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


def pair_conclusions(first: pd.DataFrame, second: pd.DataFrame, metric: str = "acc") -> pd.DataFrame:
    """What the runs of one zoo say of every two rows, and whether those of another zoo say the same.

    That a row is better than another is concluded where the 95 % interval of their paired difference excludes 0
    (`paired_differences`).  Two rows that no order changes differ by the same on all: their interval is a point.

    Args:
        first, second: `cmmlib.analysis.runs.per_run_metrics` on either zoo; rows of one alone are left out.
        metric: one of their columns.

    Returns:
        Columns ``num_tasks``, ``better``, ``worse`` (on the first zoo), their ``difference``, ``low``, ``high`` there, in
        points, and as many with ``_second``; ``verdict``: the second "holds" or "reverses" the conclusion or leaves it
        "undecided"; "open" where there is none on the first.
    """
    labels = [label for label in dict.fromkeys(first["label"]) if label in set(second["label"])]
    parts, values = [], ["difference", "low", "high"]
    for number, against in enumerate(labels):
        # rounded: means of the same numbers in another order differ in the last bit
        on_first, on_second = (paired_differences(runs, against, metric).round(9) for runs in (first, second))
        both = on_first.merge(on_second, on=["num_tasks", "label"], suffixes=("", "_second")).rename(
            columns={"label": "better"}
        )
        tied_once = (both["difference"] == 0) & both["better"].isin(labels[:number])
        parts.append(both[(both["difference"] > 0) | tied_once].assign(worse=against))
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["num_tasks", "better", *values])
    conditions = [frame["low"] <= 0, frame["low_second"] > 0, frame["high_second"] < 0]
    frame["verdict"] = np.select(conditions, ["open", "holds", "reverses"], "undecided")
    rank = {label: number for number, label in enumerate(labels)}
    frame = frame.sort_values(["num_tasks", "better", "worse"], key=lambda c: c.map(rank) if c.name != "num_tasks" else c)
    columns = ["num_tasks", "better", "worse", *values, *(f"{value}_second" for value in values), "verdict"]
    return frame[columns].reset_index(drop=True)
