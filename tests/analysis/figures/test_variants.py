"""A dot per pair of runs, a bar at the mean."""

import pandas as pd

from cmmlib.analysis import figures


def test_gains_are_dots_and_their_mean_is_a_bar(ax):
    rows = [("v", 8, 1.0), ("v", 8, 3.0), ("v", 14, -1.0), ("uv", 8, 2.0), ("uv", 14, 4.0)]
    gains = pd.DataFrame(rows, columns=["alternative", "num_tasks", "gain"])
    assert figures.gain_dots(ax, gains, [8, 14]) is ax
    dots = [list(line.get_ydata()) for line in ax.lines if line.get_marker() == "."]
    assert dots == [[1, 3], [-1], [2], [4]]
    bars = [line.get_ydata()[0] for line in ax.lines if line.get_linewidth() == 2]
    assert bars == [2, -1, 2, 4]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["over v", "over uv"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["8", "14"]
