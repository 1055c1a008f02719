"""A figure from its empty panels to its files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from numpy.typing import NDArray

from .saving import save
from .style import paper_style


@contextmanager
def panels(
    path: str | Path, rows: int = 1, columns: int = 1, *, size: tuple[float, float], **shared: Any
) -> Iterator[NDArray]:
    """Empty axes to draw on; when the block ends the figure is saved (`cmmlib.analysis.figures.save`) and shown.

    If the block fails, nothing is saved.

    Args:
        path: of the files, without an ending.
        size: width and height of the figure in inches.
        shared: ``sharex``, ``sharey`` and the like, for `matplotlib.pyplot.subplots`.

    Returns:
        The axes, [rows, columns], inside the block.
    """
    with paper_style():
        figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, **shared)
        try:
            yield axes
            figure.tight_layout()
            save(figure, path)
            plt.show()
        finally:
            plt.close(figure)
