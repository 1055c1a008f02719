"""Figures of a metric against a hyper-parameter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from .style import line_style

CROWDED = 8
"""More values than this have upright labels: side by side they would run into each other."""


def sweep_curve(
    ax: Axes, points: pd.DataFrame, y: str, *, color: str = "#0072B2", published: object = None, chosen: object = None
) -> Axes:
    """Draw a metric against a hyper-parameter: a dot per order, and a line through their means.

    Args:
        points: with columns ``value`` and ``y``'s.  Values that are not numbers, or far from evenly spaced, are drawn at
            equal distances.
        y: the column of the metric.
        published: value to mark with a dotted line.
        chosen: value to mark with a star.
    """
    values = list(dict.fromkeys(points["value"]))
    gaps = np.diff(values) if all(isinstance(value, int | float) for value in values) else np.array([])
    even = len(gaps) > 0 and gaps.min() > 0 and gaps.max() <= 6 * gaps.min()
    places = dict(zip(values, values if even else range(len(values)), strict=True))
    at = points["value"].map(places).astype(float)
    mean = points.groupby(at)[y].mean()
    ax.plot(at, points[y], ".", color=color, alpha=0.35, markersize=3, markeredgewidth=0)
    ax.plot(mean.index, mean, marker="o", color=color)
    if not even:
        names = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
        ax.set_xticks(range(len(values)), names, rotation=90 if len(values) > CROWDED else 0)
    if published in places:
        ax.axvline(places[published], color="#777777", linestyle=":", zorder=0, label="published or default")
    if chosen in places:
        ax.plot(places[chosen], mean.loc[places[chosen]], "*", color="k", markersize=7, label="chosen")
    return ax


def acc_and_bwt(
    axes: Sequence[Axes], points: pd.DataFrame, *, color: str = "#0072B2", published: object = None, legend: bool = True
) -> Sequence[Axes]:
    """A `sweep_curve` of ACC on the first axes and of BWT on the second.

    Args:
        axes: two.
        points: with columns ``value``, ``acc`` in per cent and ``bwt`` in points.
        legend: say on the first axes what is marked.
    """
    names = {"acc": "ACC (%)", "bwt": "BWT (points)"}
    for ax, (metric, name) in zip(axes, names.items(), strict=True):
        sweep_curve(ax, points, metric, color=color, published=published).set_ylabel(name)
    if legend:
        _legend(axes[:1])
    return axes


def sweep_columns(
    axes: NDArray,
    points: pd.DataFrame,
    sweeps: Mapping[str, tuple[str, object]],
    *,
    color: str = "#0072B2",
    legend: bool = True,
) -> NDArray:
    """A column of panels per sweep: ACC above BWT.  What the first column and the last row say is not repeated.

    Args:
        axes: [2, sweeps].
        points: as in `acc_and_bwt`, with a column ``sweep``.
        sweeps: sweep → the name of its parameter and the published value.
        legend: say on the first axes what is marked.
    """
    for column, (sweep, (name, value)) in zip(axes.T, sweeps.items(), strict=True):
        acc_and_bwt(column, points[points["sweep"] == sweep], color=color, published=value, legend=False)
        for ax in column:
            ax.set_xlabel(name)
            ax.label_outer()
    if legend:
        _legend(axes[0])
    return axes


def tuning_panels(axes: NDArray, points: pd.DataFrame, choice: pd.DataFrame, parameter: str = "λ") -> NDArray:
    """ACC against a hyper-parameter: a row per number of tasks, a column per label; published and chosen value marked.

    Args:
        axes: [numbers of tasks, labels].
        points: with columns ``label``, ``num_tasks``, ``value``, ``acc``; both in the order in which they first occur.
        choice: `cmmlib.analysis.tuning.chosen_values`.
    """
    for row, (number, by_number) in zip(axes, points.groupby("num_tasks", sort=False), strict=True):
        for ax, (label, part) in zip(row, by_number.groupby("label", sort=False), strict=True):
            marks = choice.xs((label, number))
            color = line_style(str(label))["color"]
            sweep_curve(ax, part, "acc", color=color, published=marks["published"], chosen=marks["chosen"])
            if ax in axes[0]:
                ax.set_title(label)
        row[0].set_ylabel(f"ACC (%), {number} tasks")
    for ax in axes[-1]:
        ax.set_xlabel(parameter)
    _legend(axes[0])
    return axes


def _legend(axes: Iterable[Axes]) -> None:
    """On the first axes that has any, what a dotted line and a star say."""
    for ax in axes:
        if ax.get_legend_handles_labels()[0]:
            ax.legend(loc="best", handlelength=1.2, framealpha=1, edgecolor="none", borderpad=0.2)
            return
