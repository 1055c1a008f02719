"""The main table, from per-run metrics to CSV, Markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate

from .files import write_flushed


def reference_means(references: Mapping[int, pd.DataFrame]) -> pd.DataFrame:
    """Mean over tasks of the pretrained and the individual models: one row per number of tasks.

    Args:
        references: number of tasks → `cmmlib.scores.reference_accuracies`.
    """
    frame = pd.DataFrame({number: part.mean() for number, part in references.items()}).T
    return frame.rename(columns=str.capitalize).rename_axis("num_tasks")


def summary(per_run: pd.DataFrame, references: pd.DataFrame) -> pd.DataFrame:
    """Mean and sample standard deviation over orders, in long form.

    Args:
        per_run: `cmmlib.scores.per_run_metrics`.
        references: `reference_means`.

    Returns:
        Columns ``label``, ``num_tasks``, ``acc_mean``, ``acc_std``, ``bwt_mean``, ``bwt_std``, ``orders``; a deviation over
        a single order is NaN, and so is all but ``acc_mean`` of the reference rows.
    """
    grouped = per_run.groupby(["label", "num_tasks"], sort=False)
    frame = grouped.agg(
        acc_mean=("acc", "mean"),
        acc_std=("acc", "std"),
        bwt_mean=("bwt", "mean"),
        bwt_std=("bwt", "std"),
        orders=("seed", "nunique"),
    ).reset_index()
    fixed = references.rename_axis(columns="label").stack().rename("acc_mean").reset_index()
    rows = [part.dropna(axis="columns", how="all") for part in (fixed, frame)]
    return pd.concat(rows, ignore_index=True).reindex(columns=frame.columns)


def main_table(summary: pd.DataFrame) -> pd.DataFrame:
    """The table as it is printed: a row per method, and ACC, BWT and the number of orders per number of tasks."""
    labels = list(dict.fromkeys(summary["label"]))
    if "Individual" in labels:  # the bounds frame the table
        labels = [label for label in labels if label != "Individual"] + ["Individual"]
    columns: dict[tuple[str, str], list[str]] = {}
    for number in sorted(summary["num_tasks"].unique()):
        part = summary[summary["num_tasks"] == number].set_index("label")
        for metric in ("acc", "bwt"):
            columns[(f"{number} tasks", metric.upper())] = [_mean_and_std(part, label, metric) for label in labels]
        counts = part["orders"].reindex(labels)
        columns[(f"{number} tasks", "orders")] = ["" if np.isnan(count) else str(int(count)) for count in counts]
    return pd.DataFrame(columns, index=pd.Index(labels, name="method"))


def _mean_and_std(part: pd.DataFrame, label: str, metric: str) -> str:
    if label not in part.index or np.isnan(part.loc[label, f"{metric}_mean"]):
        return ""
    mean, deviation = part.loc[label, [f"{metric}_mean", f"{metric}_std"]]
    return f"{mean:.1f}" if np.isnan(deviation) else f"{mean:.1f} ± {deviation:.1f}"


def to_markdown(table: pd.DataFrame) -> str:
    headers = [table.index.name, *(" ".join(column) for column in table.columns)]
    return tabulate(table.reset_index().to_numpy().tolist(), headers, tablefmt="github", disable_numparse=True)


def to_latex(table: pd.DataFrame) -> str:
    """A ``booktabs`` tabular."""
    numbers = list(dict.fromkeys(top for top, _ in table.columns))
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
            " & ".join(["Method", *(metric for _, metric in table.columns)]) + " \\\\",
            "\\midrule",
            *(row + " \\\\" for row in rows),
            "\\bottomrule",
            "\\end{tabular}",
            "",
        ]
    )


def save_table(summary: pd.DataFrame, path: str | Path) -> list[Path]:
    """Write ``<path>.csv`` (numbers, in full), ``.md`` and ``.tex`` (as printed), each whole or not at all."""
    table = main_table(summary)
    texts = {"csv": summary.to_csv(index=False), "md": to_markdown(table) + "\n", "tex": to_latex(table)}
    return [write_text(Path(f"{path}.{ending}"), text) for ending, text in texts.items()]


def write_text(target: Path, text: str) -> Path:
    """Write a text file, whole or not at all, with its folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    write_flushed(target, text)
    return target
