"""Figures of the geometry of task vectors (`cmmlib.analysis.geometry`): angles, and what OPCM's projection removes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from .style import KINDS, count_axis, kind_style


def cosine_heatmap(ax: Axes, matrix: ArrayLike, tasks: Sequence[str]) -> Axes:
    """Draw the cosine similarities of task vectors; the diagonal, which is always 1, stays white.

    Args:
        matrix: [tasks, tasks].
        tasks: their names.
    """
    matrix = np.where(np.eye(len(tasks), dtype=bool), np.nan, np.asarray(matrix, dtype=float))
    low, high = (bound(matrix[np.isfinite(matrix)], initial=0) for bound in (np.min, np.max))
    image = ax.imshow(matrix, vmin=low, vmax=high, cmap="cividis")
    size = 5 if len(tasks) <= 10 else 2.6
    for (row, column), value in np.ndenumerate(matrix):
        if np.isfinite(value):
            color = "w" if value < (low + high) / 2 else "k"
            text = f"{value:.2f}".replace("-0.00", "0.00").replace("0.", ".", 1)
            ax.text(column, row, text, ha="center", va="center", fontsize=size, color=color)
    ax.set_xticks(range(len(tasks)), tasks, rotation=60, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(tasks)), tasks)
    ax.grid(False)
    ax.figure.colorbar(image, ax=ax, label="cosine similarity", fraction=0.046, pad=0.03)
    return ax


def kind_curves(ax: Axes, points: pd.DataFrame, x: str, y: str) -> Axes:
    """Draw the mean of column ``y`` against column ``x``, a line per kind of weights.

    Args:
        points: with a column ``kind``.
    """
    for kind in sorted(points["kind"].unique(), key=[*KINDS, *points["kind"]].index):
        mean = points[points["kind"] == kind].groupby(x)[y].mean()
        ax.plot(mean.index, mean, label=kind, **kind_style(kind))
    return ax


def removed_shares(ax: Axes, steps: pd.DataFrame) -> Axes:
    """Draw what OPCM's projection removes of ‖τ‖² as models arrive, as stacked bars.

    A dashed line shows what it would remove of a random direction.

    Args:
        steps: indexed by the number of models merged before, with the ``removed_…`` and ``random_…`` shares of
            `cmmlib.analysis.geometry.Projection`.
    """
    block, diagonal = 100 * steps["removed_block"], 100 * steps["removed_diagonal"]
    ax.bar(steps.index, block, color="#E69F00", width=0.8, label="block $P_{:r,:r}$")
    ax.bar(steps.index, diagonal, bottom=block, color="#0072B2", width=0.8, label="rest of the diagonal")
    chance = 100 * (steps["random_block"] + steps["random_diagonal"])
    ax.plot(steps.index, chance, "--", color="k", label="of a random direction")
    ax.set(ylabel="removed of ‖τ‖² (%)")
    ax.set_axisbelow(True)
    count_axis(ax, "models merged before")
    return ax


def aligned_shares(ax: Axes, steps: pd.DataFrame) -> Axes:
    """Draw how much of ‖τ‖² lies in the merged model's leading left and right subspaces.

    Dashed lines show the same for a random direction.

    Args:
        steps: as in `removed_shares`, with the ``in_…`` and ``random_…`` shares.
    """
    for side, color, name in (("left", "#0072B2", "outputs, $U_r$"), ("right", "#D55E00", "inputs, $V_r$")):
        ax.plot(steps.index, 100 * steps[f"in_{side}"], marker="o", color=color, label=name)
        ax.plot(steps.index, 100 * steps[f"random_{side}"], "--", color=color, label="of a random direction")
    ax.set(ylabel="‖τ‖² in the leading subspace (%)")
    count_axis(ax, "models merged before")
    return ax
