"""Intervals of means over orders, and comparisons of methods on the same orders.

After Agarwal et al., arXiv 2108.13264, with the orders as runs.  Only the order in which the models arrive varies, so the
intervals say nothing about other models or tasks.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray


def bootstrap_interval(values: ArrayLike, *, level: float = 0.95, resamples: int = 10_000) -> NDArray:
    """Percentile bootstrap interval of the mean over the first axis.

    Args:
        values: [orders, ...].
        level: confidence level.
        resamples: how often the orders are drawn with replacement.  The seed is fixed.

    Returns:
        [2, ...]: the lower and the upper end; NaN for a single order.
    """
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return np.full((2, *values.shape[1:]), np.nan)
    draws = np.random.default_rng(0).integers(len(values), size=(resamples, len(values)))
    tail = (1 - level) / 2
    return np.quantile(values[draws].mean(1), [tail, 1 - tail], axis=0)


def paired_differences(per_run: pd.DataFrame, against: str, metric: str = "acc") -> pd.DataFrame:
    """The difference of every other row from one row, order by order, over the orders that both have.

    Args:
        per_run: `cmmlib.analysis.runs.per_run_metrics`.
        against: label of the row to compare with.
        metric: a column of ``per_run``.

    Returns:
        Columns ``num_tasks``, ``label``, ``difference`` (mean, in points), ``low``, ``high`` (95 % bootstrap interval),
        ``improvement`` (share of the orders on which the row is better; a tie counts half) and ``orders`` (their number).

    Raises:
        ValueError: there is no row ``against``.
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


def leads_over(per_run: pd.DataFrame, label: str, metric: str = "acc") -> pd.DataFrame:
    """How far one row is ahead of every other, order by order.

    Args:
        per_run, metric: see `paired_differences`.
        label: of the row.

    Returns:
        As `paired_differences`, with the other row as ``over`` and all seen from this one: ``difference`` is positive, and
        ``improvement`` above 0.5, where it is ahead.

    Raises:
        ValueError: there is no such row.
    """
    frame = paired_differences(per_run, label, metric)
    turned = {"difference": -frame["difference"], "low": -frame["high"], "high": -frame["low"]}
    return frame.assign(**turned, improvement=1 - frame["improvement"]).rename(columns={"label": "over"})


def pair_conclusions(first: pd.DataFrame, second: pd.DataFrame, metric: str = "acc") -> pd.DataFrame:
    """Compare every two rows on one zoo, and check the conclusion on another zoo.

    A row is better than another if the 95 % interval of their paired difference excludes 0 (`paired_differences`).  If
    neither row depends on the order, the interval is a single point.  Pairs that either zoo has on one order alone are left
    out: one order has no interval.

    Args:
        first, second: `cmmlib.analysis.runs.per_run_metrics` on either zoo; rows of only one of them are left out.
        metric: a column of both.

    Returns:
        Columns ``num_tasks``; ``better`` and ``worse``, by their means on the first zoo; ``difference``, ``low`` and
        ``high`` there, in points, and the same on the second zoo with ``_second``; ``verdict``: on the second zoo the
        conclusion "holds", "reverses" or is "undecided", or it is "open" on the first.
    """
    labels = [label for label in dict.fromkeys(first["label"]) if label in set(second["label"])]
    parts, values = [], ["difference", "low", "high"]
    for number, against in enumerate(labels):
        # rounded, since means of the same numbers in another order may differ in the last bit
        on_first, on_second = (paired_differences(runs, against, metric).round(9) for runs in (first, second))
        both = on_first.merge(on_second, on=["num_tasks", "label"], suffixes=("", "_second")).rename(
            columns={"label": "better"}
        )
        tied_once = (both["difference"] == 0) & both["better"].isin(labels[:number])
        parts.append(both[(both["difference"] > 0) | tied_once].dropna(subset=["low", "low_second"]).assign(worse=against))
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["num_tasks", "better", *values])
    conditions = [frame["low"] <= 0, frame["low_second"] > 0, frame["high_second"] < 0]
    frame["verdict"] = np.select(conditions, ["open", "holds", "reverses"], "undecided")
    rank = {label: number for number, label in enumerate(labels)}
    frame = frame.sort_values(["num_tasks", "better", "worse"], key=lambda c: c.map(rank) if c.name != "num_tasks" else c)
    columns = ["num_tasks", "better", "worse", *values, *(f"{value}_second" for value in values), "verdict"]
    return frame[columns].reset_index(drop=True)
