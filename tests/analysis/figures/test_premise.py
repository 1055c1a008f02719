"""The pictures of DOP's premise draw the numbers that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from cmmlib.analysis import figures

MATRIX = np.array([[0.6, 0.2], [0.3, 0.5]])
CHANGES = pd.DataFrame(
    [(0.0, "a", 1.0, 10.0), (0.5, "a", 2.0, 20.0), ("OPCM", "a", 3.0, 30.0), ("OPCM", "b", 4.0, 50.0)],
    columns=["model", "layer", "L0", "change"],
)


def test_affinities_are_printed_where_they_stand(ax):
    assert figures.affinity_heatmap(ax, MATRIX, ["mnist", "svhn"]) is ax
    np.testing.assert_array_equal(ax.images[0].get_array(), MATRIX)
    texts = {text.get_position(): text.get_text() for text in ax.texts}
    assert texts == {(0, 0): "0.60", (1, 0): "0.20", (0, 1): "0.30", (1, 1): "0.50"}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["mnist", "svhn"]


def test_points_of_the_front_are_of_one_colour_and_methods_of_theirs(ax):
    assert figures.change_scatter(ax, CHANGES) is ax
    found = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines}
    assert found == {"exact front": ([1, 2], [10, 20]), "OPCM": ([3, 4], [30, 50])}
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert all(line.get_linestyle() == "None" for line in ax.lines)


def test_the_figure_has_both():
    figure = figures.premise_figure(MATRIX, ["mnist", "svhn"], CHANGES)
    left, right, _ = figure.axes  # the last is the colour bar's
    assert len(left.images) == 1 and len(right.lines) == 2
    plt.close(figure)
