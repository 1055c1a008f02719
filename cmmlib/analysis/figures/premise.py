"""DOP's premise: task vectors point where their tasks' inputs do, and the losses predict how much outputs change."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .pareto import EXACT
from .style import COLUMN_WIDTH, line_style


def affinity_heatmap(ax: Axes, matrix: ArrayLike, tasks: Sequence[str]) -> Axes:
    """Affinities of task vectors (rows) with tasks' inputs (columns).

    Args:
        matrix: [tasks, tasks], a mean over layers of `cmmlib.analysis.affinity.subspace_affinity`.
    """
    matrix = np.asarray(matrix, dtype=float)
    image = ax.imshow(matrix, cmap="cividis", vmin=0)
    for (row, column), value in np.ndenumerate(matrix):
        color = "w" if value < 0.6 * matrix.max() else "k"
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6, color=color)
    ax.set_xticks(range(len(tasks)), tasks, rotation=40, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(tasks)), tasks)
    ax.set(xlabel="inputs of task", ylabel="task vector of", title="subspace affinity, mean over layers")
    ax.grid(False)
    ax.figure.colorbar(image, ax=ax, fraction=0.046)
    return ax


def change_scatter(ax: Axes, changes: pd.DataFrame) -> Axes:
    """The change of a layer's output against its L_0, on logarithmic axes, a colour per method.

    Args:
        changes: a row per model and layer: ``model`` (a method, or a number, the a of a point on the exact front),
            ``L0`` and ``change``.
    """
    methods = changes["model"].map(lambda model: model if isinstance(model, str) else "exact front")
    for label, part in changes.groupby(methods, sort=False):
        style = {"color": EXACT, "marker": "."} if label == "exact front" else line_style(str(label))
        ax.plot(part["L0"], part["change"], label=label, **style | {"linestyle": "", "markersize": 2.5})
    ax.set(xscale="log", yscale="log", xlabel="$L_0$ of the layer", ylabel="change of its output on old tasks")
    ax.set(title="does $L_0$ predict the change?")
    ax.legend(loc="lower right")
    return ax


def premise_figure(matrix: ArrayLike, tasks: Sequence[str], changes: pd.DataFrame) -> Figure:
    """`affinity_heatmap` beside `change_scatter`."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(1.9 * COLUMN_WIDTH, 2.8))
    affinity_heatmap(left, matrix, tasks)
    change_scatter(right, changes)
    figure.tight_layout()
    return figure
