"""What the leads of several choices gain over their alternatives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")


def gain_dots(ax: Axes, gains: pd.DataFrame, num_tasks: Sequence[int]) -> Axes:
    """The gains of one choice's lead: a dot per pair of runs and a bar at their mean, a colour per alternative.

    Args:
        gains: the rows of `cmmlib.analysis.lead_gains` of one choice.
        num_tasks: the numbers of tasks, side by side in this order.
    """
    alternatives = list(dict.fromkeys(gains["alternative"]))
    for number, alternative in enumerate(alternatives):
        color = COLORS[number % len(COLORS)]
        for place, count in enumerate(num_tasks):
            here = gains.loc[(gains["alternative"] == alternative) & (gains["num_tasks"] == count), "gain"]
            x = place + 0.22 * (number - (len(alternatives) - 1) / 2)
            ax.plot(np.full(len(here), x), here, ".", color=color, alpha=0.5, markeredgewidth=0)
            label = f"over {alternative}" if place == 0 else None
            ax.plot([x - 0.09, x + 0.09], [here.mean()] * 2, color=color, linewidth=2, label=label)
    ax.axhline(0, color="k", linewidth=0.6)
    ax.set_xticks(range(len(num_tasks)), [str(count) for count in num_tasks])
    ax.set(xlabel="tasks", xlim=(-0.6, len(num_tasks) - 0.4))
    ax.grid(False, axis="x")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=3, columnspacing=0.8, handlelength=1)
    return ax
