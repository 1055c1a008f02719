"""Which row is better than which other, on how many zoos and numbers of tasks."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from .intervals import paired_differences


def leads(runs: Mapping[str, pd.DataFrame], metric: str = "acc") -> pd.DataFrame:
    """In how many cells a row is above another by its mean over orders.  A cell is a zoo and a number of tasks.

    Args:
        runs: zoo → `cmmlib.analysis.runs.per_run_metrics` there.  Rows that a zoo lacks are left out.
        metric: a column of all of them.

    Returns:
        Columns ``row`` and ``other``, each pair twice; ``leads``, the number of cells with a higher mean; ``beyond_chance``,
        how many of these have a 95 % interval over orders above 0 (`cmmlib.analysis.paired_differences`); ``cells``, the
        number of cells where both were run on a common order; ``smallest`` and ``largest`` difference, in points.
    """
    common = set.intersection(*(set(frame["label"]) for frame in runs.values()))
    labels = [label for label in dict.fromkeys(next(iter(runs.values()))["label"]) if label in common]
    parts = [
        paired_differences(frame[frame["label"].isin(labels)], other, metric).assign(other=other)
        for frame in runs.values()
        for other in labels
    ]
    pairs = pd.concat(parts, ignore_index=True).rename(columns={"label": "row"})
    pairs = pairs.assign(leads=pairs["difference"] > 0, beyond_chance=(pairs["difference"] > 0) & (pairs["low"] > 0))
    table = pairs.groupby(["row", "other"], sort=False).agg(
        leads=("leads", "sum"),
        beyond_chance=("beyond_chance", "sum"),
        cells=("difference", "size"),
        smallest=("difference", "min"),
        largest=("difference", "max"),
    )
    place = {label: number for number, label in enumerate(labels)}
    return table.reset_index().sort_values(["row", "other"], key=lambda column: column.map(place), ignore_index=True)


def lead_table(pairs: pd.DataFrame) -> pd.DataFrame:
    """`leads` as it is printed: a line per row, a column per other row, the number of cells led."""
    labels = list(dict.fromkeys(pairs["row"]))
    wide = pairs.pivot(index="row", columns="other", values="leads").reindex(index=labels, columns=labels)
    return wide.map(lambda count: "" if pd.isna(count) else f"{count:.0f}").rename_axis(index=None, columns=None)
