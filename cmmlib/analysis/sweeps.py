"""What a sweep over a hyper-parameter, or over orders, has found."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd


def sweep_summary(points: pd.DataFrame, defaults: Mapping[str, object]) -> pd.DataFrame:
    """Where the mean ACC over orders is highest and lowest, and what the default gives.

    Args:
        points: columns ``sweep``, ``value``, ``seed``, ``acc``, ``bwt``; one row per sweep, value and order.
        defaults: sweep → its default, which is the published value where there is one; other sweeps are left out.

    Returns:
        Indexed by ``sweep`` and ``which`` ("best", "worst", "default"): ``value`` (as it was given), ``orders`` (how
        many), and the means ``acc`` in per cent and ``bwt`` in points.  A default that was not swept has no row.
    """
    rows = []
    for sweep, known in defaults.items():
        by_value = points[points["sweep"] == sweep].groupby("value", sort=False)
        table = by_value.agg(orders=("seed", "nunique"), acc=("acc", "mean"), bwt=("bwt", "mean"))
        for which, value in (("best", table["acc"].idxmax()), ("worst", table["acc"].idxmin()), ("default", known)):
            if value in table.index:
                rows.append((sweep, which, value, *table[table.index == value].iloc[0]))
    frame = pd.DataFrame(rows, columns=["sweep", "which", "value", "orders", "acc", "bwt"], dtype=object)
    return frame.astype({"orders": int, "acc": float, "bwt": float}).set_index(["sweep", "which"])


def order_extremes(per_run: pd.DataFrame) -> pd.DataFrame:
    """How far ACC depends on the order in which the models arrive.

    Args:
        per_run: `cmmlib.analysis.runs.per_run_metrics`, of one number of tasks.

    Returns:
        Indexed by ``label``: ``mean``, ``std``, ``min``, ``max`` and ``gap`` (best minus worst) of ACC over orders, and
        the seeds ``worst_seed`` and ``best_seed`` of the orders that gave ``min`` and ``max``.
    """
    by_label = per_run.set_index("seed").groupby("label", sort=False)["acc"]
    frame = by_label.agg(["mean", "std", "min", "max"])
    frame["gap"] = frame["max"] - frame["min"]
    return frame.assign(worst_seed=by_label.agg("idxmin"), best_seed=by_label.agg("idxmax"))
