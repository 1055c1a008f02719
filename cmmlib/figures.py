"""Pictures: every function takes numbers and axes and returns the axes; one colour per method everywhere."""

from __future__ import annotations

import os
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
        points: `cmmlib.scores.per_step_metrics` of one number of tasks.
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
        per_run: `cmmlib.scores.per_run_metrics`.
        references: `cmmlib.tables.reference_means`.
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
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            figure.savefig(temporary, format=ending, metadata=metadata, bbox_inches="tight", pad_inches=0.02)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        written.append(target)
    return written
