"""Our results beside those that papers report."""

from __future__ import annotations

import numpy as np
import pandas as pd

ROUNDING = 0.05
"""Published means and spreads are printed to one decimal, so either may be so much off."""

ZOO_TOLERANCE = 0.6
"""Points by which two published tables of the same individual models differ at most."""


def beside(summary: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Our results beside the papers', one row per label and metric that either has, for our numbers of tasks.

    Args:
        summary: `cmmlib.analysis.tables.summary`.
        published: `cmmlib.suites.published_table`.

    Returns:
        Columns ``num_tasks``, ``label``, ``metric``, ``ours``, ``std`` (of ours, over ``orders`` orders), ``orders``,
        ``published``, ``published_std``, ``difference`` (ours minus published), ``within`` (whether that is at most two
        published spreads, as far as one decimal tells: 1 or 0), ``source`` and ``note``; NaN where a value is missing.  A
        figure with a note is not trusted, so for it ``within`` is missing.
    """
    parts = []
    for metric in ("ACC", "BWT"):
        names = {f"{metric.lower()}_mean": "ours", f"{metric.lower()}_std": "std"}
        parts.append(summary[["num_tasks", "label", *names, "orders"]].rename(columns=names).assign(metric=metric))
    ours = pd.concat(parts, ignore_index=True).dropna(subset="ours")
    theirs = published[published["num_tasks"].isin(ours["num_tasks"])]
    theirs = theirs.rename(columns={"value": "published", "std": "published_std"})
    frame = ours.merge(theirs, on=["num_tasks", "label", "metric"], how="outer", sort=False)
    frame["difference"] = frame["ours"] - frame["published"]
    bound = 2 * (frame["published_std"] + ROUNDING) + ROUNDING
    judged = frame["difference"].notna() & bound.notna() & frame["note"].isna()
    frame["within"] = (frame["difference"].abs() <= bound + 1e-9).astype(float).where(judged)
    order = {label: number for number, label in enumerate(dict.fromkeys([*ours["label"], *theirs["label"]]))}
    frame = frame.sort_values(["num_tasks", "metric", "label"], key=lambda c: c.map(order) if c.name == "label" else c)
    columns = ["num_tasks", "label", "metric", "ours", "std", "orders", "published", "published_std"]
    return frame[[*columns, "difference", "within", "source", "note"]].reset_index(drop=True)


def comparison_table(frame: pd.DataFrame) -> pd.DataFrame:
    """`beside` as printed: a row per number of tasks and method; for ACC and BWT ours, the published, and their difference.

    Returns:
        Text, blank where a value is missing.  ``within 2 ±`` is "yes" or "no" where a spread was published.  A published
        figure that looks like a slip is followed by a question mark.
    """
    text = pd.DataFrame(
        {
            "ours": frame["ours"].map(_printed),
            "published": [
                _printed(value) + (f" ± {std:.1f}" if np.isfinite(std) else "") + ("" if pd.isna(note) else " ?")
                for value, std, note in zip(frame["published"], frame["published_std"], frame["note"], strict=True)
            ],
            "difference": frame["difference"].map(_printed),
            "within 2 ±": frame["within"].map({1.0: "yes", 0.0: "no"}).fillna(""),
        }
    )
    values = list(text)
    labels = list(dict.fromkeys(frame["label"]))
    wide = text.join(frame[["num_tasks", "label", "metric"]]).pivot(
        index=["num_tasks", "label"], columns="metric", values=values
    )
    wide = wide.swaplevel(axis="columns")[[(metric, value) for metric in ("ACC", "BWT") for value in values]]
    wide = wide.sort_index(key=lambda level: level.map(labels.index) if level.name == "label" else level)
    wide.columns.names, wide.index.names = [None, None], ["tasks", "method"]
    return wide.fillna("")


def off_the_zoo(alone: pd.DataFrame, tolerance: float = ZOO_TOLERANCE) -> dict[str, list[str]]:
    """The tasks whose pretrained or individual model is further from the model zoo's documentation than two tables are.

    Args:
        alone: columns ``pretrained`` and ``individual`` as documented, and the same with `` (ours)``, in per cent, indexed
            by ``task``.
        tolerance: in points.

    Returns:
        "pretrained" and "individual" → the tasks.
    """
    kinds = ("pretrained", "individual")
    return {kind: list(alone.index[(alone[f"{kind} (ours)"] - alone[kind]).abs() > tolerance]) for kind in kinds}


def _printed(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.1f}"
