"""The layers of a model side by side: their spectra, and what OPCM's projection removes from each."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from .geometry import aligned_shares, kind_curves, removed_shares
from .style import count_axis

ROUNDING = 1e-6
"""Singular values below this share of the largest are what float32 weights leave of zero."""

LOW_RANK = 0.1
"""If all effective ranks are below this share of the full one, their axis does not go up to 1."""


def spectrum_panels(axes: Sequence[Axes], layers: pd.DataFrame, spectra: pd.DataFrame, alpha: float) -> Sequence[Axes]:
    """Norm and effective rank by depth, the fall of the singular values and their cumulative share.

    Layers outside the blocks have no depth: they count in the last two panels only.  There curves end where singular values
    fall to rounding, below `ROUNDING` of the largest, as those of low-rank adapters do.

    Args:
        axes: four.
        layers, spectra: the two tables of `cmmlib.analysis.layer_spectra`.
        alpha: OPCM's, marked in the last panel.
    """
    norms, ranks, values, shares = axes
    blocks = layers[layers["depth"] >= 0]
    kind_curves(norms, blocks, "depth", "norm").set(ylabel="‖τ‖, mean over tasks", ylim=(0, None))
    kind_curves(ranks, blocks, "depth", "effective_share").set(ylabel="effective rank / full rank")
    ranks.set_ylim(0, None if blocks["effective_share"].max() < LOW_RANK else 1)
    for ax in (norms, ranks):
        count_axis(ax, "depth")
    spectra = spectra[spectra["relative"] >= ROUNDING]
    kind_curves(values, spectra, "position", "relative").set(ylabel="$s_i / s_1$", yscale="log")
    kind_curves(shares, spectra, "position", "share").set(ylabel="share of Σ s")
    for ax in (values, shares):
        ax.set(xlabel="i / full rank")
    shares.axhline(alpha, color="#777777", linestyle=":", linewidth=0.8)
    across = shares.get_yaxis_transform()  # x in widths of the panel: curves of low rank end far left of 1
    shares.text(0.99, alpha - 0.02, f"OPCM's α = {alpha:g}", ha="right", va="top", fontsize=6, transform=across)
    return axes


def projection_panels(axes: Sequence[Axes], by_step: pd.DataFrame, by_layer: pd.DataFrame) -> Sequence[Axes]:
    """What is removed by step and by depth (of layers in blocks), and what lies in the leading subspaces by step.

    Args:
        axes: three.
        by_step: `cmmlib.analysis.pooled_shares`, indexed by the number of models merged before.
        by_layer: with columns ``kind``, ``depth`` and ``removed``, in per cent of ‖τ‖².
    """
    steps, depths, aligned = axes
    removed_shares(steps, by_step)
    kind_curves(depths, by_layer[by_layer["depth"] >= 0], "depth", "removed").set(ylabel="removed of ‖τ‖² (%)")
    count_axis(depths, "depth")
    aligned_shares(aligned, by_step)
    # room for the legends above the curves
    steps.set_ylim(0, 1.45 * 100 * (by_step["removed_block"] + by_step["removed_diagonal"]).max())
    depths.set_ylim(0, 1.3 * by_layer["removed"].max())
    highest = by_step[["in_left", "in_right", "random_left", "random_right"]].to_numpy().max()
    aligned.set_ylim(0, 1.5 * 100 * highest)
    for ax, columns in ((steps, 1), (depths, 3), (aligned, 1)):
        ax.legend(frameon=False, loc="upper left", ncols=columns)
    return axes
