"""Our results beside those that papers report."""

from __future__ import annotations

import pandas as pd


def beside(summary: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Our results beside the papers', one row per label and metric that either has, for our numbers of tasks.

    Args:
        summary: `cmmlib.analysis.tables.summary`.
        published: columns ``num_tasks``, ``label``, ``metric`` (ACC or BWT), ``value`` in per cent or points, ``source``.

    Returns:
        Columns ``num_tasks``, ``label``, ``metric``, ``ours``, ``std`` (of ours, over ``orders`` orders), ``orders``,
        ``published``, ``difference`` (ours minus published) and ``source``; NaN where a value is missing.
    """
    parts = []
    for metric in ("ACC", "BWT"):
        names = {f"{metric.lower()}_mean": "ours", f"{metric.lower()}_std": "std"}
        parts.append(summary[["num_tasks", "label", *names, "orders"]].rename(columns=names).assign(metric=metric))
    ours = pd.concat(parts, ignore_index=True).dropna(subset="ours")
    theirs = published[published["num_tasks"].isin(ours["num_tasks"])].rename(columns={"value": "published"})
    frame = ours.merge(theirs, on=["num_tasks", "label", "metric"], how="outer", sort=False)
    frame["difference"] = frame["ours"] - frame["published"]
    order = {label: number for number, label in enumerate(dict.fromkeys([*ours["label"], *theirs["label"]]))}
    frame = frame.sort_values(["num_tasks", "metric", "label"], key=lambda c: c.map(order) if c.name == "label" else c)
    columns = ["num_tasks", "label", "metric", "ours", "std", "orders", "published", "difference", "source"]
    return frame[columns].reset_index(drop=True)


def comparison_table(frame: pd.DataFrame) -> pd.DataFrame:
    """`beside` as printed: a row per method; for each number of tasks and metric, ours, the published and the difference.

    Missing values are blank, and columns without any value are left out.
    """
    values = ["ours", "published", "difference"]
    wide = frame.pivot(index="label", columns=["num_tasks", "metric"], values=values).dropna(axis="columns", how="all")
    wide = wide.reindex(list(dict.fromkeys(frame["label"]))).reorder_levels([1, 2, 0], axis="columns")
    order = sorted(wide.columns, key=lambda column: (column[0], column[1], values.index(column[2])))
    names = [(f"{column[0]} tasks", *column[1:]) for column in order]
    return (
        wide[order]
        .set_axis(pd.MultiIndex.from_tuples(names), axis="columns")
        .map(lambda x: "" if pd.isna(x) else f"{x:.1f}")
    )
