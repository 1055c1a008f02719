"""The main table: from metrics of runs to CSV, Markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from tabulate import tabulate

from ..files import write_text
from .intervals import bootstrap_interval

Spread = Literal["std", "interval"]


def reference_means(references: Mapping[int, pd.DataFrame]) -> pd.DataFrame:
    """Mean accuracies of the pretrained and the individual models over tasks, in per cent.

    Args:
        references: number of tasks → accuracies in per cent, one row per task, columns ``pretrained`` and ``individual``.

    Returns:
        Columns ``Pretrained`` and ``Individual``, indexed by ``num_tasks``.
    """
    frame = pd.DataFrame({number: part.mean() for number, part in references.items()}).T
    return frame.rename(columns=str.capitalize).rename_axis("num_tasks")


def summary(per_run: pd.DataFrame, references: pd.DataFrame) -> pd.DataFrame:
    """Mean, sample standard deviation and 95 % bootstrap interval of the mean over orders, in long form.

    Args:
        per_run: `cmmlib.analysis.runs.per_run_metrics`.
        references: `reference_means`.

    Returns:
        Columns ``label``, ``num_tasks``, ``orders`` (their number), and ``_mean``, ``_std``, ``_low`` and ``_high`` of
        ``acc`` and ``bwt`` each.  Values that need several orders are NaN for one order.  The rows of the references have
        only ``acc_mean``.  A negative seed marks a run without an order (a model trained on all tasks jointly); without
        any order ``orders`` is NaN.
    """
    grouped = per_run.groupby(["label", "num_tasks"], sort=False)
    spreads = {"mean": "mean", "std": "std", "low": _low, "high": _high}
    columns = {f"{metric}_{name}": (metric, spread) for metric in ("acc", "bwt") for name, spread in spreads.items()}
    frame = grouped.agg(**columns, orders=("seed", _orders)).reset_index()
    means = [(number, label, mean) for number, row in references.iterrows() for label, mean in row.items()]
    fixed = pd.DataFrame(means, columns=["num_tasks", "label", "acc_mean"])
    rows = [part.dropna(axis="columns", how="all") for part in (fixed, frame)]
    return pd.concat(rows, ignore_index=True).reindex(columns=frame.columns)


def _orders(seeds: pd.Series) -> float:
    return seeds[seeds >= 0].nunique() or np.nan


def _low(values: pd.Series) -> float:
    return bootstrap_interval(values)[0]


def _high(values: pd.Series) -> float:
    return bootstrap_interval(values)[1]


def main_table(summary: pd.DataFrame, spread: Spread = "std") -> pd.DataFrame:
    """The table as printed: a row per method; for each number of tasks ACC, BWT and the number of orders, as text.

    Args:
        summary: from `summary`.
        spread: what follows the mean: "std" for the standard deviation over orders, "interval" for the 95 % interval.

    Raises:
        ValueError: another ``spread``.
    """
    if spread not in get_args(Spread):
        raise ValueError(f"spread: expected one of {', '.join(get_args(Spread))}, got {spread!r}")
    labels = list(dict.fromkeys(summary["label"]))
    if "Individual" in labels:  # the pretrained models are the first row, the individual models the last
        labels = [label for label in labels if label != "Individual"] + ["Individual"]
    columns: dict[tuple[str, str], list[str]] = {}
    for number in sorted(summary["num_tasks"].unique()):
        part = summary[summary["num_tasks"] == number].set_index("label")
        for metric in ("acc", "bwt"):
            columns[(f"{number} tasks", metric.upper())] = [_printed(part, label, metric, spread) for label in labels]
        counts = part["orders"].reindex(labels).to_numpy(dtype=float)
        columns[(f"{number} tasks", "orders")] = ["" if np.isnan(count) else str(int(count)) for count in counts]
    return pd.DataFrame(columns, index=pd.Index(labels, name="method"))


def _printed(part: pd.DataFrame, label: str, metric: str, spread: Spread) -> str:
    if label not in part.index:
        return ""
    mean, deviation, low, high = map(float, part.loc[label, [f"{metric}_{name}" for name in ("mean", "std", "low", "high")]])
    if np.isnan(mean):
        return ""
    if np.isnan(deviation):
        return f"{mean:.1f}"
    return f"{mean:.1f} ± {deviation:.1f}" if spread == "std" else f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def to_markdown(table: pd.DataFrame) -> str:
    """`main_table` in Markdown; the two levels of its columns are joined, as in "8 tasks ACC"."""
    headers = [str(table.index.name), *(" ".join(column) for column in table.columns)]
    return tabulate(table.reset_index().to_numpy().tolist(), headers, tablefmt="github", disable_numparse=True)


def to_latex(table: pd.DataFrame) -> str:
    """`main_table` as a LaTeX tabular, which needs the package ``booktabs``."""
    numbers = list(dict.fromkeys(table.columns.get_level_values(0)))
    width = len(table.columns) // len(numbers)
    spans = [f"\\multicolumn{{{width}}}{{c}}{{{name}}}" for name in numbers]
    rules = [f"\\cmidrule(lr){{{2 + width * i}-{1 + width * (i + 1)}}}" for i in range(len(numbers))]
    rows = [" & ".join([str(index), *row]) for index, row in zip(table.index, table.to_numpy(), strict=True)]
    rows = [re.sub(r"-(?=\d)", "$-$", row).replace("±", "$\\pm$").replace("α", "$\\alpha$") for row in rows]
    return "\n".join(
        [
            f"\\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
            "\\toprule",
            " & ".join(["", *spans]) + " \\\\",
            " ".join(rules),
            " & ".join(["Method", *table.columns.get_level_values(1)]) + " \\\\",
            "\\midrule",
            *(row + " \\\\" for row in rows),
            "\\bottomrule",
            "\\end{tabular}",
            "",
        ]
    )


def save_table(summary: pd.DataFrame, path: str | Path, spread: Spread = "std", note: str = "") -> list[Path]:
    """Write ``<path>.csv`` (`summary` in full precision), ``<path>.md`` and ``<path>.tex`` (`main_table`).

    Each file appears whole or not at all.  Returns the three paths.

    Args:
        note: a line above the Markdown table.
    """
    table = main_table(summary, spread)
    above = f"{note}\n\n" if note else ""
    texts = {"csv": summary.to_csv(index=False), "md": f"{above}{to_markdown(table)}\n", "tex": to_latex(table)}
    return [write_text(Path(f"{path}.{ending}"), text) for ending, text in texts.items()]
