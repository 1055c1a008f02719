"""OPCM's scale λ as models arrive."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from .style import count_axis


def scale_curves(ax: Axes, scales: pd.DataFrame) -> Axes:
    """λ as the merger reports it and by the formulas, against the number of merged models; means over orders.

    Args:
        scales: `cmmlib.analysis.opcm_scale.scale_formulas`, of one number of tasks.
    """
    mean = scales.groupby("step")[["lambda", "general_term", "sqrt_t", "unprojected"]].mean()
    ax.plot(mean.index, mean["unprojected"], color="#777777", label="without projection")
    ax.plot(mean.index, mean["sqrt_t"], "--", color="k", label=r"$\sqrt{t}$")
    ax.plot(mean.index, mean["lambda"], "o", color="#E69F00", markersize=3.5, label=r"$\lambda_t$ as reported")
    ax.plot(mean.index, mean["general_term"], color="#0072B2", linewidth=0.8, label="general term")
    ax.set(ylim=(0, None))
    count_axis(ax, "merged models")
    return ax
