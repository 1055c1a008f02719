"""The Pareto front of stability and plasticity, and where other methods and the published solver land."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import COLUMN_WIDTH, line_style

EXACT = "#0072B2"
MARKED = {"balanced": "o", "mgda": "s", 0.8: "D"}  # points of the front with a marker of their own


def front_shapes(ax: Axes, front: pd.DataFrame) -> Axes:
    """The front of every layer, each loss over its largest value on it.

    Args:
        front: of `cmmlib.pareto_front`; only its numbers a are drawn.
    """
    numbers = front[~front["alpha"].isin(["balanced", "mgda"])]
    for _, layer in numbers.groupby("layer"):
        losses = layer[["loss_stability", "loss_plasticity"]].to_numpy(float)
        ax.plot(*(losses / losses.max(0)).T, color="#777777", linewidth=0.5)
    ax.set(xlabel="$L_0$ / its largest", ylabel="$L_1$ / its largest", title=f"{front['layer'].nunique()} layers")
    return ax


def front_curve(ax: Axes, along: pd.DataFrame, elsewhere: pd.DataFrame) -> Axes:
    """One column against another: a line along the front, with its ends named, and a marker for each other model.

    Args:
        along: indexed by alpha (numbers, ``"balanced"``, ``"mgda"``), with two columns.
        elsewhere: indexed by method, with the same columns.
    """
    x, y = along.columns
    numbers = [alpha for alpha in along.index if not isinstance(alpha, str)]
    ax.plot(along.loc[numbers, x], along.loc[numbers, y], ".-", color=EXACT, label="exact front")
    for alpha in (numbers[0], numbers[-1]):
        ax.annotate(f"a = {alpha:g}", tuple(along.loc[alpha]), textcoords="offset points", xytext=(4, 4), fontsize=6)
    for alpha, marker in MARKED.items():
        if alpha in along.index:
            ax.plot(*along.loc[[alpha]].to_numpy(float).T, marker, color=EXACT, label=f"a = {alpha}", markersize=4)
    for label, point in elsewhere.iterrows():
        style = line_style(str(label)) | {"linestyle": "", "markersize": 4, "zorder": 5}
        ax.plot(*point, label=label, **style)
    return ax


def emulated_weights(ax: Axes, emulated: pd.DataFrame, ends: Mapping[str, pd.DataFrame]) -> Axes:
    """The a where the emulation ends against the solver's last a, a marker per layer, and the diagonal.

    Args:
        emulated: indexed by layer, with a column ``a``.
        ends: label → the same of a setting of the solver; the first, the published one, is in DOP's colour.
    """
    every = pd.concat([emulated["a"], *(end["a"] for end in ends.values())])
    span = [every.min() - 0.004, every.max() + 0.004]
    ax.plot(span, span, color="#777777", linewidth=0.6)
    looks = [("o", line_style("DOP")["color"]), *[("x", "#777777")] * len(ends)]
    for (label, end), (marker, color) in zip(ends.items(), looks, strict=False):
        ax.plot(end["a"], emulated["a"][end.index], marker, color=color, markersize=3.5, linestyle="", label=label)
    ax.set(xlabel="last a of the solver", ylabel="a of the emulation", xlim=span, ylim=span)
    ax.set_aspect("equal")
    ax.legend()
    return ax


def emulation_differences(ax: Axes, differences: pd.DataFrame, excess: pd.Series) -> Axes:
    """How far the emulation's losses are from the solver's, layer by layer, in the order of the solver's excess.

    Args:
        differences: indexed by layer, with columns ``L0 (%)`` and ``L1 (%)``.
        excess: of the solver above the minimum for its own a, in per cent, indexed by layer.
    """
    excess = excess.sort_values()
    place, ranked = range(1, len(excess) + 1), differences.loc[excess.index]
    ax.axhline(0, color="k", linewidth=0.6)
    ax.plot(place, ranked["L0 (%)"], "s", color=EXACT, label="$L_0$: emulation against Adam")
    ax.plot(place, ranked["L1 (%)"], "^", color="#E69F00", label="$L_1$: emulation against Adam")
    ax.plot(place, excess, ".-", color="#777777", label="excess of Adam")
    ax.set(xlabel=f"the {len(excess)} layers, by excess", ylabel="relative difference (%)")
    ax.legend()
    return ax


def front_figure(
    front: pd.DataFrame,
    losses: tuple[pd.DataFrame, pd.DataFrame],
    accuracies: tuple[pd.DataFrame, pd.DataFrame],
) -> Figure:
    """The fronts of the layers, the model's front, and what it means in accuracy.

    Args:
        front: of `cmmlib.pareto_front`.
        losses: ``L0`` and ``L1`` of the model along the front, and of other methods.
        accuracies: accuracy on old tasks and on the new one, along the front and of other methods.
    """
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(2.6 * COLUMN_WIDTH, 2.7))
    front_shapes(left, front)
    front_curve(middle, *losses).set(xlabel="$L_0$ (stability)", ylabel="$L_1$ (plasticity)", title="the model")
    front_curve(right, *accuracies).set(xlabel="accuracy on old tasks (%)", ylabel="accuracy on the new task (%)")
    right.set_title("accuracy")
    figure.tight_layout()
    figure.legend(*middle.get_legend_handles_labels(), loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=8, frameon=False)
    return figure


def emulation_figure(emulated: pd.DataFrame, ends: Mapping[str, pd.DataFrame], differences: pd.DataFrame) -> Figure:
    """Where the emulation ends, beside the published solver, layer by layer.

    Args:
        emulated: `cmmlib.analysis.pareto.layer_front` for ``"mgda"``.
        ends: label → `cmmlib.analysis.pareto.solver_ends`; the first are those of the published setting.
        differences: from these, `cmmlib.analysis.pareto.differences`.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(1.9 * COLUMN_WIDTH, 2.5), width_ratios=[1, 1.4])
    emulated_weights(left, emulated, ends)
    emulation_differences(right, differences, next(iter(ends.values()))["excess (%)"])
    figure.tight_layout()
    return figure
