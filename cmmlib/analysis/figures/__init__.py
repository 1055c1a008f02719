"""Figures.  Each function draws numbers on axes and returns the axes; a method has the same colour in all of them."""

from .accuracy import accuracy_heatmap, main_figure, order_strip
from .claims import claim_dots, interval_dots
from .cost import cost_curves, cost_figure
from .curves import history_curves, label_curves, named_curves, step_curves
from .geometry import aligned_shares, cosine_heatmap, kind_curves, removed_shares
from .kept import kept_curves
from .layers import projection_panels, spectrum_panels
from .opcm_scale import scale_curves
from .panels import panels
from .pareto import (
    emulated_weights,
    emulation_differences,
    emulation_figure,
    front_curve,
    front_figure,
    front_shapes,
)
from .paths import merge_path
from .premise import affinity_heatmap, change_scatter, premise_figure
from .saving import save
from .style import COLUMN_WIDTH, kind_style, line_style, paper_style
from .sweeps import acc_and_bwt, sweep_columns, sweep_curve, tuning_panels
from .two_zoos import verdict_matrix, zoo_scatter

__all__ = [
    "COLUMN_WIDTH",
    "acc_and_bwt",
    "accuracy_heatmap",
    "affinity_heatmap",
    "aligned_shares",
    "change_scatter",
    "claim_dots",
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
    "interval_dots",
    "kept_curves",
    "kind_curves",
    "kind_style",
    "label_curves",
    "line_style",
    "main_figure",
    "merge_path",
    "named_curves",
    "order_strip",
    "panels",
    "paper_style",
    "premise_figure",
    "projection_panels",
    "removed_shares",
    "save",
    "scale_curves",
    "spectrum_panels",
    "step_curves",
    "sweep_columns",
    "sweep_curve",
    "tuning_panels",
    "verdict_matrix",
    "zoo_scatter",
]
