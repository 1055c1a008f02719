"""The pictures of costs draw the numbers that they are given."""

import matplotlib.pyplot as plt
import pandas as pd

from cmmlib.analysis import figures

COSTS = pd.DataFrame(
    [("OPCM", 1, 0.5, 1.0), ("OPCM", 2, 0.6, 1.0), ("anew", 1, 0.2, 1.0), ("anew", 2, 0.4, 2.0)],
    columns=["method", "models", "seconds", "kept"],
)


def lines(ax):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines}


def test_a_method_has_a_line_and_the_one_compared_with_is_dashed(ax):
    assert figures.cost_curves(ax, COSTS, "kept", dashed="anew") is ax
    assert lines(ax) == {"OPCM": ([1, 2], [1, 1]), "anew": ([1, 2], [1, 2])}
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--"]
    assert ax.get_ylim()[0] == 0


def test_the_figure_has_seconds_and_what_is_kept():
    figure = figures.cost_figure(COSTS, dashed="anew")
    seconds, kept = map(lines, figure.axes)
    assert seconds["OPCM"] == ([1, 2], [0.5, 0.6]) and kept["anew"] == ([1, 2], [1, 2])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["OPCM", "anew"]
    plt.close(figure)
