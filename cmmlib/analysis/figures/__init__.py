"""Pictures: every function takes numbers and axes and returns the axes; one colour per method everywhere."""

from .accuracy import accuracy_heatmap, main_figure, order_strip
from .cost import cost_curves, cost_figure
from .curves import history_curves, label_curves, step_curves
from .geometry import aligned_shares, cosine_heatmap, kind_curves, removed_shares
from .pareto import (
    emulated_weights,
    emulation_differences,
    emulation_figure,
    front_curve,
    front_figure,
    front_shapes,
)
from .premise import affinity_heatmap, change_scatter, premise_figure
from .saving import save
from .style import COLUMN_WIDTH, kind_style, line_style, paper_style
from .sweeps import sweep_curve

__all__ = [
    "COLUMN_WIDTH",
    "accuracy_heatmap",
    "affinity_heatmap",
    "aligned_shares",
    "change_scatter",
    "cosine_heatmap",
    "cost_curves",
    "cost_figure",
    "emulated_weights",
    "emulation_differences",
    "emulation_figure",
    "front_curve",
    "front_figure",
    "front_shapes",
    "history_curves",
    "kind_curves",
    "kind_style",
    "label_curves",
    "line_style",
    "main_figure",
    "order_strip",
    "paper_style",
    "premise_figure",
    "removed_shares",
    "save",
    "step_curves",
    "sweep_curve",
]
