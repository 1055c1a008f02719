"""What was claimed of differences between rows, and what was measured."""

from __future__ import annotations

from itertools import cycle

import pandas as pd
from matplotlib.axes import Axes

COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")

MARKS = ("o", "s", "^", "D")


def claim_dots(ax: Axes, checked: pd.DataFrame, colored: str = "backbone") -> Axes:
    """A line per claim: a band for the claimed range, a mark per measured difference, whose shape is the number of tasks.

    Args:
        checked: `cmmlib.analysis.checked_claims`, with a column ``num_tasks``.
        colored: the column that a mark's colour tells.
    """
    claims = list(dict.fromkeys(checked["claim"]))
    kinds, counts = list(dict.fromkeys(checked[colored])), sorted(checked["num_tasks"].unique())
    ranges = checked.drop_duplicates("claim").set_index("claim")
    for place, claim in enumerate(claims):
        low, high = ranges.loc[claim, ["low", "high"]]
        ax.barh(place, high - low, left=low, height=0.7, color="#dddddd", label="claimed" if place == 0 else None)
    for number, kind in enumerate(kinds):
        here = checked[checked[colored] == kind]
        heights = here["claim"].map(claims.index) + 0.16 * (number - (len(kinds) - 1) / 2)
        color = COLORS[number % len(COLORS)]
        ax.plot([], [], "o", color=color, markersize=4, label=str(kind))
        for count, mark in zip(counts, cycle(MARKS)):
            of = here["num_tasks"] == count
            ax.plot(here.loc[of, "difference"], heights[of], mark, color=color, markersize=3, markeredgewidth=0)
    for count, mark in zip(counts, cycle(MARKS)):
        ax.plot([], [], mark, color="#777777", markersize=4, label=f"{count} tasks")
    ax.axvline(0, color="k", linewidth=0.6)
    ax.set_yticks(range(len(claims)), claims)
    ax.invert_yaxis()
    ax.set(xlabel="difference in ACC (points)")
    ax.grid(False, axis="y")
    ax.legend(loc="upper center", bbox_to_anchor=(0.35, -0.09), ncols=4, frameon=False)
    return ax


def interval_dots(ax: Axes, judged: pd.DataFrame) -> Axes:
    """A line per zoo: the paired difference with its interval, a colour per number of tasks.

    Args:
        judged: the rows of `cmmlib.analysis.judging.judgement` of one label and metric, with a column ``zoo``.
    """
    zoos, counts = list(dict.fromkeys(judged["zoo"])), sorted(judged["num_tasks"].unique())
    for number, count in enumerate(counts):
        here = judged[judged["num_tasks"] == count]
        heights = here["zoo"].map(zoos.index) + 0.2 * (number - (len(counts) - 1) / 2)
        ends = [here["difference"] - here["low"], here["high"] - here["difference"]]
        ax.errorbar(here["difference"], heights, xerr=ends, fmt="o", color=COLORS[number], label=f"{count} tasks")
    ax.axvline(0, color="k", linewidth=0.6)
    ax.set_yticks(range(len(zoos)), zoos)
    ax.set_ylim(len(zoos) - 0.5, -0.5)
    ax.grid(False, axis="y")
    ax.legend(frameon=False)
    return ax
