"""Figures of a metric against a hyper-parameter."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes


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
        ax.set_xticks(range(len(values)), [f"{value:g}" if isinstance(value, float) else str(value) for value in values])
    if published in places:
        ax.axvline(places[published], color="#777777", linestyle=":", zorder=0)
    if chosen in places:
        ax.plot(places[chosen], mean.loc[places[chosen]], "*", color="k", markersize=7)
    return ax
