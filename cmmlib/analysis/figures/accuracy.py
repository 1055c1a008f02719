"""Figures of accuracies: the accuracy array of one run, and ACC of every order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from .style import line_style


def accuracy_heatmap(ax: Axes, R: ArrayLike, tasks: Sequence[str]) -> Axes:
    """Draw the accuracy after each merge (rows) on each task (columns), both in the order of merging.

    Args:
        R: [steps, tasks] in per cent; NaN cells stay white.
        tasks: names in the order of merging.
    """
    R = np.asarray(R, dtype=float)
    image = ax.imshow(R, vmin=0, vmax=100, cmap="cividis", aspect="auto")
    size = 5 if len(tasks) <= 10 else 3
    for (step, task), value in np.ndenumerate(R):
        if np.isfinite(value):
            ax.text(task, step, f"{value:.0f}", ha="center", va="center", fontsize=size, color="w" if value < 55 else "k")
    ax.set_xticks(range(len(tasks)), tasks, rotation=60, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(tasks)), [f"{number}: + {task}" for number, task in enumerate(tasks, 1)])
    ax.set(xlabel="accuracy on", ylabel="after merging")
    ax.grid(False)
    ax.figure.colorbar(image, ax=ax, label="accuracy (%)", fraction=0.05)
    # the diagonal separates merged tasks, below it, from tasks not merged yet
    for number in range(len(tasks)):
        ax.add_patch(Rectangle((number - 0.5, number - 0.5), 1, 1, fill=False, edgecolor="#D55E00", linewidth=0.9))
    return ax


def main_figure(axes: Sequence[Axes], per_run: pd.DataFrame, references: pd.DataFrame) -> Sequence[Axes]:
    """Draw the mean ACC of each method as a bar and that of every order as a tick, one panel per number of tasks.

    Args:
        axes: one per number of tasks, in ascending order.
        per_run: `cmmlib.analysis.runs.per_run_metrics`.
        references: `cmmlib.analysis.tables.reference_means`.
    """
    for ax, (num_tasks, part) in zip(axes, per_run.groupby("num_tasks"), strict=True):
        labels = list(dict.fromkeys(part["label"]))[::-1]
        for height, label in enumerate(labels):
            values = part.loc[part["label"] == label, "acc"].to_numpy()
            color = line_style(label)["color"]
            hatch = "////" if line_style(label)["linestyle"] == "--" else None
            ax.barh(
                height, values.mean(), color="w" if hatch else color, edgecolor=color, hatch=hatch, alpha=0.75, height=0.7
            )
            ax.plot(values, np.full(len(values), height), "|", color="k", markersize=4, markeredgewidth=0.6)
        for name, values in references.loc[[num_tasks]].items():
            ax.axvline(values.item(), label=name, **{**line_style(str(name)), "marker": ""})
        ax.set_yticks(range(len(labels)), labels)
        ax.set(xlabel="ACC (%)", title=f"{num_tasks} tasks", xlim=(0, 100))
        ax.grid(False, axis="y")
    return axes


def order_strip(ax: Axes, per_run: pd.DataFrame) -> Axes:
    """Draw ACC of every order as a dot over a box (quartiles, whiskers to the worst and the best), one row per label.

    Args:
        per_run: `cmmlib.analysis.runs.per_run_metrics`, of one number of tasks.
    """
    labels = list(dict.fromkeys(per_run["label"]))[::-1]
    for height, label in enumerate(labels):
        values = per_run.loc[per_run["label"] == label, "acc"].to_numpy()
        color = line_style(label)["color"]
        low, first, median, third, high = np.quantile(values, (0, 0.25, 0.5, 0.75, 1))
        ax.barh(height, third - first, left=first, height=0.66, color=color, alpha=0.25)
        ax.plot([low, high], [height, height], "-", color=color, linewidth=0.7)
        ax.plot([median, median], [height - 0.33, height + 0.33], "-", color=color, linewidth=1.4)
        # dots are shifted in turn so that they do not overlap; not at random, so that the figure is always the same
        offset = 0.22 * (np.arange(len(values)) % 3 - 1) if len(values) > 1 else np.zeros(1)
        ax.plot(values, height + offset, "o", color=color, markersize=2.2, alpha=0.6, markeredgewidth=0)
    ax.set_yticks(range(len(labels)), labels)
    ax.use_sticky_edges = False  # else the axis would end where the bars do
    ax.margins(x=0.03)
    ax.set(xlabel="ACC (%)", ylim=(-0.6, len(labels) - 0.4))
    ax.grid(False, axis="y")
    return ax
