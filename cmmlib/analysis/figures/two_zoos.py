"""ACC on one zoo of models against another."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from .style import line_style


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
