"""What has to be kept between two models."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from .style import count_axis, line_style

ALL_MODELS = "all models kept"


def kept_curves(ax: Axes, memory: pd.DataFrame) -> Axes:
    """What is kept, in models, against the number of merged models; labels that end alike share a line.

    Args:
        memory: columns ``label``, ``step`` and ``models``.  The label "all models kept" is drawn dashed.
    """
    last = memory[memory["step"] == memory["step"].max()]
    alike: dict[float, list[str]] = {}
    for label, models in zip(last["label"], last["models"], strict=True):
        alike.setdefault(round(float(models), 1), []).append(label)
    for labels in alike.values():
        part = memory[memory["label"] == labels[0]]
        style = {"color": "#777777", "linestyle": "--", "marker": "x"} if labels[0] == ALL_MODELS else line_style(labels[0])
        threes = [", ".join(labels[i : i + 3]) for i in range(0, len(labels), 3)]
        ax.plot(part["step"], part["models"], label=",\n".join(threes), **style)
    ax.set(ylabel="kept between models\n(× a model)", ylim=(0, None))
    count_axis(ax, "merged models")
    ax.legend(frameon=False, loc="upper left")
    return ax
