"""Pictures: every function takes numbers and axes and returns the axes; one colour per method everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ..files import whole

COLUMN_WIDTH = 3.5  # inches: one column of a two-column paper

# Okabe & Ito's colours, told apart by readers with any common colour blindness; variants differ by their dashes
_STYLES = {
    "Pretrained": ("#777777", ":"),
    "Individual": ("#000000", ":"),
    "Weight average": ("#000000", "-"),
    "Task arithmetic": ("#56B4E9", "-"),
    "TIES": ("#CC79A7", "-"),
    "MagMax": ("#009E73", "-"),
    "OPCM": ("#E69F00", "-"),
    "OPCM (first version)": ("#E69F00", "--"),
    "DOP": ("#D55E00", "-"),
    "DOP-exact (α=0.8)": ("#0072B2", "--"),
    "DOP-exact (balanced)": ("#0072B2", "-"),
    "DOP-all (u)": ("#7B3294", "-"),
}
_MARKERS = "osD^vP*X<>"


def line_style(label: str) -> dict[str, str]:
    """Colour, dashes and marker of a method; a label of the user's own gets one that only its name decides."""
    if label in _STYLES:
        color, dashes = _STYLES[label]
        return {"color": color, "linestyle": dashes, "marker": _MARKERS[list(_STYLES).index(label) % len(_MARKERS)]}
    number = sum(map(ord, label))
    return {"color": f"C{number % 10}", "linestyle": "-.", "marker": _MARKERS[number % len(_MARKERS)]}


def paper_style() -> AbstractContextManager:
    """rcParams for column width: ``with paper_style(): …``."""
    return mpl.rc_context(
        {
            "font.size": 7,
            "axes.labelsize": 7,
            "axes.titlesize": 7.5,
            "legend.fontsize": 6,
            "xtick.labelsize": 6,
            "ytick.labelsize": 6,
            "lines.linewidth": 1.1,
            "lines.markersize": 2.6,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.linewidth": 0.4,
            "grid.alpha": 0.4,
            "figure.dpi": 150,
            "savefig.dpi": 300,
            "pdf.fonttype": 42,  # text stays text
        }
    )


def accuracy_heatmap(ax: Axes, R: ArrayLike, tasks: Sequence[str]) -> Axes:
    """Accuracy in per cent after each merge (rows) on each task (columns), both in the order of merging.

    Args:
        R: [steps, tasks]; NaN cells stay white.
        tasks: names in the order of merging.
    """
    R = np.asarray(R, dtype=float)
    image = ax.imshow(R, vmin=0, vmax=100, cmap="cividis", aspect="auto")
    size = 5 if len(tasks) <= 10 else 3
    for (step, task), value in np.ndenumerate(R):
        if np.isfinite(value):
            ax.text(task, step, f"{value:.0f}", ha="center", va="center", fontsize=size, color="w" if value < 55 else "k")
    ax.set_xticks(range(len(tasks)), tasks, rotation=60, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(tasks)), [f"{number}: + {task}" for number, task in enumerate(tasks, 1)])
    ax.set(xlabel="accuracy on", ylabel="after merging")
    ax.grid(False)
    ax.figure.colorbar(image, ax=ax, label="accuracy (%)", fraction=0.05)
    # the lower triangle is what has been merged: outline the diagonal
    for number in range(len(tasks)):
        ax.add_patch(plt.Rectangle((number - 0.5, number - 0.5), 1, 1, fill=False, edgecolor="#D55E00", linewidth=0.9))
    return ax


def step_curves(ax: Axes, points: pd.DataFrame, column: str = "seen") -> Axes:
    """Mean accuracy against the number of merged models, a line per label; bands are one standard deviation over orders.

    Args:
        points: `cmmlib.experiments.frames.per_step_metrics` of one number of tasks.
        column: ``"seen"`` (with the bounds of pretrained and individual models), ``"unseen"`` or ``"unseen_change"``.
    """
    for label, part in points.dropna(subset=column).groupby("label", sort=False):
        by_step = part.groupby("step")[column]
        mean, deviation = by_step.mean(), by_step.std()
        style = line_style(str(label))
        ax.plot(mean.index, mean, label=label, **style)
        if deviation.notna().any():
            ax.fill_between(mean.index, mean - deviation, mean + deviation, color=style["color"], alpha=0.13, linewidth=0)
    if column == "seen":
        for bound in ("pretrained", "individual"):
            mean = points.groupby("step")[bound].mean()
            ax.plot(mean.index, mean, label=bound.capitalize(), **{**line_style(bound.capitalize()), "marker": ""})
    ylabel = {
        "seen": "mean accuracy on seen tasks (%)",
        "unseen": "mean accuracy on unseen tasks (%)",
        "unseen_change": "unseen tasks, against\npretrained (points)",
    }[column]
    ax.set(xlabel="merged models", ylabel=ylabel)
    ax.xaxis.get_major_locator().set_params(integer=True)
    return ax


def main_figure(axes: Sequence[Axes], per_run: pd.DataFrame, references: pd.DataFrame) -> Sequence[Axes]:
    """ACC of every order as a dot and the mean as a bar's end, one panel per number of tasks.

    Args:
        axes: one per number of tasks.
        per_run: `cmmlib.experiments.frames.per_run_metrics`.
        references: `cmmlib.analysis.tables.reference_means`.
    """
    for ax, (num_tasks, part) in zip(axes, per_run.groupby("num_tasks"), strict=True):
        labels = list(dict.fromkeys(part["label"]))[::-1]
        for height, label in enumerate(labels):
            values = part.loc[part["label"] == label, "acc"].to_numpy()
            color = line_style(label)["color"]
            hatch = "////" if line_style(label)["linestyle"] == "--" else None
            ax.barh(
                height, values.mean(), color="w" if hatch else color, edgecolor=color, hatch=hatch, alpha=0.75, height=0.7
            )
            ax.plot(values, np.full(len(values), height), "|", color="k", markersize=4, markeredgewidth=0.6)
        for name, value in references.loc[num_tasks].items():
            ax.axvline(value, label=name, **{**line_style(str(name)), "marker": ""})
        ax.set_yticks(range(len(labels)), labels)
        ax.set(xlabel="ACC (%)", title=f"{num_tasks} tasks", xlim=(0, 100))
        ax.grid(False, axis="y")
    return axes


def history_curves(ax: Axes, history: pd.DataFrame, columns: Sequence[str]) -> Axes:
    """Columns of a merger's history against the number of merged models."""
    for column in columns:
        ax.plot(history.index, history[column], marker="o", label=column.replace("_", " "))
    ax.set(xlabel="merged models")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    return ax


def save(figure: Figure, path: str | Path) -> list[Path]:
    """Write ``<path>.png`` and ``<path>.pdf``, each whole or not at all, the same bytes for the same picture."""
    written = []
    for ending, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
        target = Path(f"{path}.{ending}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole(target) as temporary:
            figure.savefig(temporary, format=ending, metadata=metadata, bbox_inches="tight", pad_inches=0.02)
        written.append(target)
    return written


# colours of the kinds of linear weights; the MLP's are dashed
_KINDS = {"q": "#0072B2", "k": "#56B4E9", "v": "#009E73", "out": "#E69F00", "fc1": "#D55E00", "fc2": "#CC79A7"}


def kind_style(kind: str) -> dict[str, str]:
    """Colour and dashes of a kind of weights (`cmmlib.analysis.geometry.layer_of`)."""
    color = _KINDS.get(kind, f"C{sum(map(ord, kind)) % 10}")
    return {"color": color, "linestyle": "--" if kind.startswith("fc") else "-"}


def cosine_heatmap(ax: Axes, matrix: ArrayLike, tasks: Sequence[str]) -> Axes:
    """Cosine similarities of the tasks' task vectors; the diagonal, 1 by definition, stays white.

    Args:
        matrix: [tasks, tasks].
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
    """The mean of column ``y`` against column ``x``, a line per kind of weights.

    Args:
        points: with a column ``kind``.
    """
    for kind in sorted(points["kind"].unique(), key=[*_KINDS, *points["kind"]].index):
        mean = points[points["kind"] == kind].groupby(x)[y].mean()
        ax.plot(mean.index, mean, label=kind, **kind_style(kind))
    return ax


def removed_shares(ax: Axes, steps: pd.DataFrame) -> Axes:
    """What OPCM's projection removes of ‖τ‖² as models arrive, stacked; dashed what it would of a random direction.

    Args:
        steps: indexed by step, with the removed and random shares of `cmmlib.analysis.geometry.Projection`.
    """
    block, diagonal = 100 * steps["removed_block"], 100 * steps["removed_diagonal"]
    ax.bar(steps.index, block, color="#E69F00", width=0.8, label="block $P_{:r,:r}$")
    ax.bar(steps.index, diagonal, bottom=block, color="#0072B2", width=0.8, label="rest of the diagonal")
    chance = 100 * (steps["random_block"] + steps["random_diagonal"])
    ax.plot(steps.index, chance, "--", color="k", label="of a random direction")
    ax.set(xlabel="models merged before", ylabel="removed of ‖τ‖² (%)")
    ax.set_axisbelow(True)
    ax.xaxis.get_major_locator().set_params(integer=True)
    return ax


def aligned_shares(ax: Axes, steps: pd.DataFrame) -> Axes:
    """How much of ‖τ‖² lies in the merged model's leading left and right subspace; dashed of a random direction.

    Args:
        steps: as in `removed_shares`, with the ``in_…`` and ``random_…`` shares.
    """
    for side, color, name in (("left", "#0072B2", "outputs, $U_r$"), ("right", "#D55E00", "inputs, $V_r$")):
        ax.plot(steps.index, 100 * steps[f"in_{side}"], marker="o", color=color, label=name)
        ax.plot(steps.index, 100 * steps[f"random_{side}"], "--", color=color, label="of a random direction")
    ax.set(xlabel="models merged before", ylabel="within, of ‖τ‖² (%)")
    ax.xaxis.get_major_locator().set_params(integer=True)
    return ax


def label_curves(ax: Axes, points: pd.DataFrame, y: str) -> Axes:
    """Column ``y`` against the number of merged models, a line per label; the mean where there are several orders.

    Args:
        points: with columns ``label`` and ``step``.
    """
    for label, part in points.groupby("label", sort=False):
        mean = part.groupby("step")[y].mean()
        ax.plot(mean.index, mean, label=label, **line_style(str(label)))
    ax.set(xlabel="merged models")
    ax.xaxis.get_major_locator().set_params(integer=True)
    return ax


def sweep_curve(
    ax: Axes, points: pd.DataFrame, y: str, *, color: str = "#0072B2", published: object = None, chosen: object = None
) -> Axes:
    """A metric against a hyper-parameter: a dot per order, a line through their means, the published value marked.

    Args:
        points: with a column ``value``; where it holds names, or numbers far from evenly spaced, they are set side by side.
        published, chosen: values to mark, by a dotted line and a star.
    """
    values = list(dict.fromkeys(points["value"]))
    gaps = np.diff(values) if all(isinstance(value, int | float) for value in values) else np.array([])
    even = len(gaps) > 0 and gaps.min() > 0 and gaps.max() <= 6 * gaps.min()
    places = dict(zip(values, values if even else range(len(values)), strict=True))
    at = points["value"].map(places).astype(float)
    mean = points.groupby(at)[y].mean()
    ax.plot(at, points[y], ".", color=color, alpha=0.35, markersize=3, markeredgewidth=0)
    ax.plot(mean.index, mean, marker="o", color=color)
    if not even:
        ax.set_xticks(range(len(values)), [f"{value:g}" if isinstance(value, float) else str(value) for value in values])
    if published in places:
        ax.axvline(places[published], color="#777777", linestyle=":", zorder=0)
    if chosen in places:
        ax.plot(places[chosen], mean.loc[places[chosen]], "*", color="k", markersize=7)
    return ax


def order_strip(ax: Axes, per_run: pd.DataFrame) -> Axes:
    """ACC of every order as a dot over its box (quartiles, whiskers to the worst and the best), a row per label.

    Args:
        per_run: `cmmlib.experiments.frames.per_run_metrics`, of one number of tasks.
    """
    labels = list(dict.fromkeys(per_run["label"]))[::-1]
    for height, label in enumerate(labels):
        values = per_run.loc[per_run["label"] == label, "acc"].to_numpy()
        color = line_style(label)["color"]
        low, first, median, third, high = np.quantile(values, (0, 0.25, 0.5, 0.75, 1))
        ax.barh(height, third - first, left=first, height=0.66, color=color, alpha=0.25)
        ax.plot([low, high], [height, height], "-", color=color, linewidth=0.7)
        ax.plot([median, median], [height - 0.33, height + 0.33], "-", color=color, linewidth=1.4)
        # orders side by side rather than on top of each other; by rank, so that the picture is always the same
        offset = 0.22 * (np.arange(len(values)) % 3 - 1) if len(values) > 1 else np.zeros(1)
        ax.plot(values, height + offset, "o", color=color, markersize=2.2, alpha=0.6, markeredgewidth=0)
    ax.set_yticks(range(len(labels)), labels)
    ax.use_sticky_edges = False  # bars would end the axis where they end
    ax.margins(x=0.03)
    ax.set(xlabel="ACC (%)", ylim=(-0.6, len(labels) - 0.4))
    ax.grid(False, axis="y")
    return ax
