"""Curves against the number of merged models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes

from .style import count_axis, line_style

NAME_HEIGHT = 0.06
"""The height of a line's name as a share of the axis, which should be at least two inches high."""


def step_curves(ax: Axes, points: pd.DataFrame, column: str = "seen") -> Axes:
    """Draw mean accuracy against the number of merged models, a line per label.

    Accuracy on seen tasks has bands of one standard deviation over orders.  On unseen tasks they would hide the lines: the
    fewer tasks are left, the more it depends on which.

    Args:
        points: `cmmlib.analysis.runs.per_step_metrics` of one number of tasks.
        column: "seen" (with lines for the pretrained and individual models), "unseen" or "unseen_change".
    """
    for label, part in points.dropna(subset=column).groupby("label", sort=False):
        by_step = part.groupby("step")[column]
        mean, deviation = by_step.mean(), by_step.std()
        style = line_style(str(label))
        ax.plot(mean.index, mean, label=label, **style)
        if column == "seen" and deviation.notna().any():
            ax.fill_between(mean.index, mean - deviation, mean + deviation, color=style["color"], alpha=0.13, linewidth=0)
    if column == "seen":
        for bound in ("pretrained", "individual"):
            mean = points.groupby("step")[bound].mean()
            ax.plot(mean.index, mean, label=bound.capitalize(), **{**line_style(bound.capitalize()), "marker": ""})
    ylabel = {
        "seen": "mean accuracy on seen tasks (%)",
        "unseen": "mean accuracy on unseen tasks (%)",
        "unseen_change": "unseen tasks, against\npretrained (points)",
    }[column]
    ax.set(ylabel=ylabel)
    count_axis(ax, "merged models")
    return ax


def named_curves(ax: Axes, points: pd.DataFrame, names: Mapping[str, str]) -> Axes:
    """Draw mean accuracy on seen tasks against the number of merged models, with each line's name and last value at its end.

    Args:
        points: `cmmlib.analysis.runs.per_step_metrics` of one number of tasks.
        names: label → what its line is called.  Other labels are not drawn; "Pretrained" and "Individual" name the bounds.
    """
    ends, lows = [], []
    for label, name in names.items():
        bound = label.lower() if label in ("Pretrained", "Individual") else None
        part = points if bound else points[points["label"] == label]
        if len(part):
            mean = part.groupby("step")[bound or "seen"].mean()
            style = {**line_style(label), "marker": ""}
            ax.plot(mean.index, mean, label=label, **style)
            lows.append(float(mean.min()))
            ends.append((float(mean.iloc[-1]), f"{name} {mean.iloc[-1]:.0f}", style["color"]))
    lowest = 5 * ((min(lows, default=1.0) - 1) // 5)  # no line lies on the axis
    height_of_name = NAME_HEIGHT * (100 - lowest)
    ax.set(ylim=(lowest, 100), ylabel="accuracy on all tasks so far (%)")
    count_axis(ax, "models merged so far")
    for height, text, color in sorted(ends):  # pushed up where they would overlap
        lowest = max(height, lowest)
        ax.annotate(text, (points["step"].max(), lowest), (4, 0), textcoords="offset points", va="center", color=color)
        lowest += height_of_name
    return ax


def label_curves(ax: Axes, points: pd.DataFrame, y: str) -> Axes:
    """Draw the mean of column ``y`` against the number of merged models, a line per label.

    Args:
        points: with columns ``label``, ``step`` and ``y``'s.
    """
    for label, part in points.groupby("label", sort=False):
        mean = part.groupby("step")[y].mean()
        ax.plot(mean.index, mean, label=label, **line_style(str(label)))
    count_axis(ax, "merged models")
    return ax


def history_curves(ax: Axes, history: pd.DataFrame, columns: Sequence[str]) -> Axes:
    """Draw columns of a merger's history, which is indexed by the number of merged models."""
    for column in columns:
        ax.plot(history.index, history[column], marker="o", label=column.replace("_", " "))
    count_axis(ax, "merged models")
    if len(columns) == 1:
        ax.set_title(columns[0].replace("_", " "))
    else:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False)  # beside the curves, not over them
    return ax
