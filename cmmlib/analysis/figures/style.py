"""The style that all figures share: sizes for print, and a colour for each method and each kind of weights."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

COLUMN_WIDTH = 3.5  # inches: one column of a two-column paper

# Okabe & Ito's colours, which readers with common colour blindness can tell apart, and darker ones for the newer methods;
# variants differ by their dashes
STYLES = {
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
    "DOP-all (u)": ("#7B3294", "--"),
    "DOP-all (v)": ("#B07AC0", "-"),
    "Kronecker": ("#7B3294", "-"),
    "WUDI": ("#8C510A", "-"),
    "ACTMat": ("#8C510A", "--"),
    "TSV-M (r/10)": ("#999933", "-"),
    "Iso-C": ("#999933", "--"),
    "NUFILT": ("#882255", "-"),
}
MARKERS = "osD^vP*X<>"
# colours of the kinds of linear weights, in the order of legends; the MLP's are dashed
KINDS = {"q": "#0072B2", "k": "#56B4E9", "v": "#009E73", "out": "#E69F00", "fc1": "#D55E00", "fc2": "#CC79A7"}


def line_style(label: str) -> dict[str, Any]:
    """Colour, dashes and marker of a label, as keywords of `plot`; those of an unknown label depend only on its name."""
    if label in STYLES:
        color, dashes = STYLES[label]
        return {"color": color, "linestyle": dashes, "marker": MARKERS[list(STYLES).index(label) % len(MARKERS)]}
    number = sum(map(ord, label))
    return {"color": f"C{number % 10}", "linestyle": "-.", "marker": MARKERS[number % len(MARKERS)]}


def kind_style(kind: str) -> dict[str, Any]:
    """Colour and dashes of a kind of weights (`cmmlib.analysis.geometry.layer_of`), as keywords of `plot`."""
    color = KINDS.get(kind, f"C{sum(map(ord, kind)) % 10}")
    return {"color": color, "linestyle": "--" if kind.startswith("fc") else "-"}


def paper_style() -> AbstractContextManager[None]:
    """rcParams for figures of one column's width: ``with paper_style(): …``."""
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


def count_axis(ax: Axes, label: str) -> None:
    """Label an x-axis that counts models, with ticks at whole numbers only."""
    ax.set(xlabel=label)
    locator = ax.xaxis.get_major_locator()
    if isinstance(locator, MaxNLocator):  # else the caller has set the ticks
        locator.set_params(integer=True)
