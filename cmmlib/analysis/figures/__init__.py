"""Figures.  Each function draws numbers on axes and returns the axes; a method has the same colour in all of them."""

from .accuracy import accuracy_heatmap, main_figure, order_strip
from .curves import history_curves, label_curves, step_curves
from .geometry import aligned_shares, cosine_heatmap, kind_curves, removed_shares
from .saving import save
from .style import COLUMN_WIDTH, kind_style, line_style, paper_style
from .sweeps import sweep_curve

__all__ = [
    "COLUMN_WIDTH",
    "accuracy_heatmap",
    "aligned_shares",
    "cosine_heatmap",
    "history_curves",
    "kind_curves",
    "kind_style",
    "label_curves",
    "line_style",
    "main_figure",
    "order_strip",
    "paper_style",
    "removed_shares",
    "save",
    "step_curves",
    "sweep_curve",
]
