"""What one more model costs, against the number of models so far."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import COLUMN_WIDTH, count_axis, line_style


def cost_curves(ax: Axes, costs: pd.DataFrame, y: str, *, dashed: str) -> Axes:
    """Column ``y`` against the number of models so far, a line per method; where lines coincide each is seen.

    Args:
        costs: with columns ``method`` and ``models``.
        dashed: the method that the others are compared with.
    """
    for number, (label, part) in enumerate(costs.groupby("method", sort=False)):
        compared = {"color": "#777777", "linestyle": "--", "marker": "x"}
        style = compared if label == dashed else line_style(str(label))
        ax.plot(part["models"], part[y], label=label, **style | {"linewidth": 2.6 - 0.5 * number})
    ax.set_ylim(0, None)
    count_axis(ax, "models so far")
    return ax


def cost_figure(costs: pd.DataFrame, *, dashed: str) -> Figure:
    """Seconds for one more model, and what is kept between models.

    Args:
        costs: with columns ``method``, ``models``, ``seconds`` and ``kept``, a multiple of a model's size.
        dashed: as of `cost_curves`.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(1.9 * COLUMN_WIDTH, 2.3))
    cost_curves(left, costs, "seconds", dashed=dashed).set_ylabel("seconds for one more")
    cost_curves(right, costs, "kept", dashed=dashed).set_ylabel("kept between models (× a model)")
    figure.tight_layout()
    figure.legend(*left.get_legend_handles_labels(), loc="lower center", bbox_to_anchor=(0.5, 0.98), ncols=4, frameon=False)
    return figure
