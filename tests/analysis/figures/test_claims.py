"""Figures of claims and of paired intervals."""

import numpy as np
import pandas as pd

from cmmlib.analysis.figures import claim_dots, interval_dots

CHECKED = pd.DataFrame(
    [("A leads B", "one", 8, 2.0, 0, 3), ("A leads B", "two", 8, -4.0, 0, 3), ("A leads C", "one", 20, 10.0, 5, 6)],
    columns=["claim", "backbone", "num_tasks", "difference", "low", "high"],
)


def test_a_claim_has_a_band_and_a_mark_per_difference_by_backbone_and_number_of_tasks(ax):
    claim_dots(ax, CHECKED)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["A leads B", "A leads C"]
    assert [(bar.get_x(), bar.get_width()) for bar in ax.patches] == [(0, 3), (5, 1)]
    legend = {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}
    assert list(legend) == ["one", "two", "8 tasks", "20 tasks"]
    dots = {float(line.get_xdata()[0]): line for line in ax.lines if len(line.get_xdata()) == 1}
    assert {*dots} == {2.0, -4.0, 10.0}
    for place, backbone, number in ((2.0, "one", "8 tasks"), (-4.0, "two", "8 tasks"), (10.0, "one", "20 tasks")):
        assert dots[place].get_color() == legend[backbone].get_color()
        assert dots[place].get_marker() == legend[number].get_marker()
    assert dots[2.0].get_ydata()[0] != dots[-4.0].get_ydata()[0]  # side by side on the first line
    assert np.round(dots[10.0].get_ydata() - dots[2.0].get_ydata()) == [1]


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
