"""Merging in the plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike


def merge_path(ax: Axes, task_vectors: Sequence[ArrayLike], path: Sequence[ArrayLike], **style: Any) -> Axes:
    """Task vectors of two numbers as arrows, and the merged one after each model as a line from the origin.

    Args:
        task_vectors, path: pairs (x, y) in the order of merging.
        style: of the line.
    """
    for number, (x, y) in enumerate(np.asarray(task_vectors, dtype=float), 1):
        ax.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "->", "color": "#999999"})
        ax.text(1.1 * x, 1.1 * y, rf"$\tau_{number}$", ha="center", va="center", color="#555555")
    ax.plot(*np.vstack([(0, 0), *np.asarray(path, dtype=float)]).T, **style)
    ax.set(xlim=(-0.8, 1.3), ylim=(-0.2, 1.3), aspect="equal")
    return ax
