"""Baselines with a hyper-parameter as published and with the value chosen by other scores, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from . import tables
from .hyperparameters import best_value, left_out_accuracies
from .intervals import paired_differences

CHOSEN = " (λ chosen)"
"""Appended to the label of a baseline: λ is the best on average over other orders."""

BY_OTHER_TASKS = " (λ by other tasks)"
"""Appended to the label of a baseline: λ is, for each task, the best on average over all other tasks."""


def chosen_values(points: pd.DataFrame, published: Mapping[tuple[str, int], float]) -> pd.DataFrame:
    """The value with the highest mean ACC of every baseline and number of tasks, beside the published one.

    Args:
        points: columns ``label``, ``num_tasks``, ``value``, ``seed``, ``acc``; one row per value and tuning order.
        published: (label, number of tasks) → value, one of those in ``points``.

    Returns:
        Indexed by ``label`` and ``num_tasks``: ``chosen``, ``chosen_acc``, ``published``, ``published_acc``; ``at_end``:
        what was chosen is the lowest or the highest value tried.

    Raises:
        ValueError: a baseline has no points, or its values were scored under different orders.
    """
    rows = []
    for (label, number), known in published.items():
        part = points[(points["label"] == label) & (points["num_tasks"] == number)]
        mean = dict(part.groupby("value")["acc"].mean())
        best = best_value(part)
        rows.append((label, number, best, mean[best], known, mean[known], best in (min(mean), max(mean))))
    columns = ["label", "num_tasks", "chosen", "chosen_acc", "published", "published_acc", "at_end"]
    return pd.DataFrame(rows, columns=columns).set_index(["label", "num_tasks"])


def left_out_rows(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per baseline and number of tasks: each task under the value that is best over all other tasks.

    Args:
        scores: columns ``label``, ``num_tasks``, ``step``, ``value``, ``task``, ``accuracy``, of one order.  Only the
            final models count.

    Returns:
        Columns ``label`` (with `BY_OTHER_TASKS`), ``num_tasks``, ``acc_mean``; ``scaling_factor``: the value where it is
        the same for all tasks, else NaN.
    """
    rows = []
    final = scores[scores["step"] == scores["num_tasks"]]
    for (label, number), part in final.groupby(["label", "num_tasks"], sort=False):
        found = left_out_accuracies(part)
        value = found["value"].iloc[0] if found["value"].nunique() == 1 else float("nan")
        rows.append((f"{label}{BY_OTHER_TASKS}", number, found["accuracy"].mean(), value))
    return pd.DataFrame(rows, columns=["label", "num_tasks", "acc_mean", "scaling_factor"])


def tuned_summary(
    per_run: pd.DataFrame, references: pd.DataFrame, left_out: pd.DataFrame, baselines: Sequence[str]
) -> pd.DataFrame:
    """The main table's numbers with two or three rows per baseline: as published, chosen, by other tasks.

    Args:
        per_run: `cmmlib.analysis.runs.per_run_metrics` with a column ``scaling_factor``.
        references: `cmmlib.analysis.tables.reference_means`.
        left_out: `left_out_rows`.
        baselines: their labels, in the order of the table.

    Returns:
        `cmmlib.analysis.tables.summary` with ``scaling_factor``, and for the chosen rows ``difference`` to the
        published one in points of ACC, paired order by order, its 95 % interval ``difference_low`` and
        ``difference_high``, and ``improvement`` (`cmmlib.analysis.intervals.paired_differences`).
    """
    values = per_run.groupby(["label", "num_tasks"])["scaling_factor"].first().reset_index()
    summary = tables.summary(per_run, references).merge(values, how="left")
    if len(left_out):
        summary = pd.concat([summary, left_out], ignore_index=True)
    ranks = {"Pretrained": 0, "Individual": 99} | {label: place for place, label in enumerate(baselines, 1)}
    names = summary["label"].str.removesuffix(CHOSEN).str.removesuffix(BY_OTHER_TASKS)
    summary = summary.iloc[names.map(ranks).fillna(50).argsort(kind="stable")].reset_index(drop=True)
    gains = [paired_differences(per_run[per_run["label"].isin([label, label + CHOSEN])], label) for label in baselines]
    columns = {"low": "difference_low", "high": "difference_high"}
    return summary.merge(
        pd.concat(gains).drop(columns="orders").rename(columns=columns), on=["label", "num_tasks"], how="left"
    )


def tuned_table(summary: pd.DataFrame) -> pd.DataFrame:
    """`cmmlib.analysis.tables.main_table` of `tuned_summary`, with λ and the gain over the published row."""
    table = tables.main_table(summary)
    for number, part in summary.groupby("num_tasks"):
        part, name = part.set_index("label").reindex(table.index), f"{number} tasks"
        place = [*map(tuple, table.columns)].index((name, "orders"))
        table.insert(place, (name, "gain"), ["" if pd.isna(x) else f"{x:+.1f}" for x in part["difference"]])
        table.insert(place - 2, (name, "λ"), ["" if pd.isna(x) else f"{x:g}" for x in part["scaling_factor"]])
    return table


def gains_on(summary: pd.DataFrame, baselines: Sequence[str], others: Sequence[str]) -> pd.DataFrame:
    """Each baseline's mean ACC minus that of the best other method, before and after choosing λ.

    Args:
        summary: `tuned_summary`.
        others: labels of the rows to compare with.

    Returns:
        Indexed by ``num_tasks`` and ``label``: ``best`` (the best other row) and its ``best_acc`` in per cent; in
        points above it ``as_published``, ``chosen`` and ``by_other_tasks`` (NaN where there is no such row);
        ``overtakes``: the rows that are above the published and not above the chosen row.
    """
    rows = []
    mean = summary.set_index(["num_tasks", "label"])["acc_mean"].astype(float)
    for number in sorted(summary["num_tasks"].unique()):
        of = mean[number]
        best = of[list(others)].idxmax()
        for label in baselines:
            before, after, left_out = (of.get(label + suffix, float("nan")) for suffix in ("", CHOSEN, BY_OTHER_TASKS))
            overtaken = ", ".join(row for row in others if before < of[row] <= after)
            above = [value - of[best] for value in (before, after, left_out)]
            rows.append((number, label, best, of[best], *above, overtaken))
    columns = ["num_tasks", "label", "best", "best_acc", "as_published", "chosen", "by_other_tasks", "overtakes"]
    return pd.DataFrame(rows, columns=columns).set_index(["num_tasks", "label"])
