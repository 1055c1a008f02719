"""ACC on one zoo of models against another, and which conclusions hold there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from ..two_zoos import VERDICTS
from .style import line_style

_COLORS = dict(zip(VERDICTS, ("#8fd0b8", "#e4e4e4", "#f0a080", "#ffffff"), strict=True))


def zoo_scatter(ax: Axes, table: pd.DataFrame) -> Axes:
    """Mean ACC on the second zoo against the first, a marker per label; bars are one standard deviation over orders.

    On the diagonal both are equal.  Variants of a method are hollow.

    Args:
        table: `cmmlib.analysis.two_zoos.means_on_both`, of one number of tasks.
    """
    both = table[["acc", "acc_second"]].to_numpy()
    ends = both.min() - 3, both.max() + 3
    ax.plot(ends, ends, color="#777777", linewidth=0.6, zorder=0)
    for row in table.to_dict("records"):
        style: dict[str, Any] = line_style(row["label"])
        if style["linestyle"] == "--":
            style["markerfacecolor"] = "w"
        style |= {"linestyle": "", "markersize": 4, "elinewidth": 0.6}
        spread = {"xerr": row["std"], "yerr": row["std_second"]}
        ax.errorbar(row["acc"], row["acc_second"], **spread, label=row["label"], **style)
    ax.set(xlim=ends, ylim=ends, aspect="equal")
    return ax


def verdict_matrix(ax: Axes, pairs: pd.DataFrame, labels: Sequence[str]) -> Axes:
    """Every two rows of one number of tasks: is the row on the left, the better one on the first zoo, better on the second?

    A cell's colour is the verdict, its number how many points of ACC the row is ahead of the column on the second zoo.

    Args:
        pairs: `cmmlib.analysis.intervals.pair_conclusions`, of one number of tasks.
        labels: the rows, the best on the first zoo first.
    """
    place = {label: number for number, label in enumerate(labels)}
    for pair in pairs.to_dict("records"):
        x, y = place[pair["worse"]], place[pair["better"]]
        color = _COLORS[pair["verdict"]]
        ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=color, edgecolor="#999999", linewidth=0.4))
        ax.text(x, y, f"{pair['difference_second']:+.1f}", ha="center", va="center", fontsize=5)
    ax.set(xlim=(-0.5, len(labels) - 0.5), ylim=(len(labels) - 0.5, -0.5), aspect="equal")
    ax.set_xticks(range(len(labels)), labels, rotation=60, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(labels)), labels)
    ax.grid(False)
    counts = pairs["verdict"].value_counts()
    patches = [
        Patch(facecolor=color, edgecolor="#999999", linewidth=0.4, label=f"{verdict}: {counts.get(verdict, 0)}")
        for verdict, color in _COLORS.items()
    ]
    ax.legend(handles=patches, loc="lower left", frameon=False, fontsize=6)
    return ax
