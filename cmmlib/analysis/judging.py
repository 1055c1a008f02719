"""What runs of several methods, paired by subset and order of tasks, say of each against a reference row."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import pandas as pd

from .intervals import paired_differences
from .runs import RUN, per_step_metrics

METRICS = ("acc", "bwt", "unseen")


def mean_unseen(scores: pd.DataFrame, references: pd.DataFrame) -> pd.DataFrame:
    """The accuracy on tasks not merged yet, as a mean over all steps but the last.

    Args:
        scores, references: as in `cmmlib.analysis.per_run_metrics`.

    Returns:
        Columns ``label``, ``num_tasks``, ``seed``; ``unseen`` in per cent, NaN unless every step was scored.
    """
    steps = per_step_metrics(scores, references)
    steps = steps[steps["step"] < steps["num_tasks"]]
    means = steps.groupby(RUN, sort=False)["unseen"].agg(lambda values: values.mean(skipna=False))
    return means.reset_index()


def judgement(per_run: pd.DataFrame, against: str, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """Means of all rows, and the paired differences of each from a reference row.

    Args:
        per_run: `cmmlib.experiments.judge`, of one backbone or, with a column ``zoo``, of several.
        against: label of the reference row.
        metrics: columns of ``per_run``.  Runs in which one was not measured do not count for it.

    Returns:
        A row per zoo, ``drawn``, number of tasks, metric and label: ``mean`` and ``std`` over the runs, which are draws of
        tasks or orders, and their number ``runs``; ``difference``, ``low``, ``high`` (95 % bootstrap interval of the paired
        difference, in points) and ``improvement``, as in `cmmlib.analysis.paired_differences`; NaN for the reference row.

    Raises:
        ValueError: there is no row ``against``.
    """
    where = ["zoo", "drawn"] if "zoo" in per_run else ["drawn"]
    parts: dict[tuple[Hashable, ...], pd.DataFrame] = {}
    for key, part in per_run.groupby(where, sort=False):
        for metric in metrics:
            known = part.dropna(subset=metric)
            if known.empty:
                continue
            found = known.groupby(["num_tasks", "label"], sort=False)[metric].agg(["mean", "std", "count"])
            compared = paired_differences(known, against, metric).drop(columns="orders")
            parts[*key, metric] = found.rename(columns={"count": "runs"}).reset_index().merge(compared, how="left")
    where.append("metric")
    columns = [*where, "num_tasks", "label", "mean", "std", "runs", "difference", "low", "high", "improvement"]
    return pd.concat(parts, names=where).reset_index(where)[columns].reset_index(drop=True)
