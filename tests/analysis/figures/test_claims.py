"""Figures of claims and of paired intervals."""

import numpy as np
import pandas as pd

from cmmlib.analysis.figures import claim_dots, interval_dots

CHECKED = pd.DataFrame(
    [("A leads B", "one", 2.0, 0, 3), ("A leads B", "two", -4.0, 0, 3), ("A leads C", "one", 10.0, 5, 6)],
    columns=["claim", "backbone", "difference", "low", "high"],
)


def test_a_claim_has_a_band_and_a_dot_per_difference(ax):
    claim_dots(ax, CHECKED)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["A leads B", "A leads C"]
    assert [(bar.get_x(), bar.get_width()) for bar in ax.patches] == [(0, 3), (5, 1)]
    dots = {line.get_label(): line for line in ax.lines if line.get_label() in ("one", "two")}
    assert list(dots["one"].get_xdata()) == [2.0, 10.0] and list(dots["two"].get_xdata()) == [-4.0]
    assert dots["one"].get_ydata()[0] != dots["two"].get_ydata()[0]  # side by side on the first line
    assert np.ptp(np.round(dots["one"].get_ydata())) == 1


def test_an_interval_reaches_from_its_low_to_its_high_end(ax):
    judged = pd.DataFrame(
        [("one", 8, 2.0, 1.0, 4.0), ("two", 8, 0.0, -1.0, 1.0), ("one", 14, 1.0, 0.5, 1.5)],
        columns=["zoo", "num_tasks", "difference", "low", "high"],
    )
    interval_dots(ax, judged)
    first, second = ax.containers
    assert [bar.vertices[:, 0].tolist() if hasattr(bar, "vertices") else bar for bar in first[2][0].get_paths()] == [
        [1.0, 4.0],
        [-1.0, 1.0],
    ]
    assert list(second[0].get_xdata()) == [1.0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["one", "two"]
