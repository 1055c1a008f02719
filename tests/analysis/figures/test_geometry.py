"""The pictures of task vectors draw the numbers that they are given."""

import numpy as np
import pandas as pd

from cmmlib.analysis import figures

SHARES = pd.DataFrame(
    {
        "removed_block": [0.2, 0.3],
        "removed_diagonal": [0.01, 0.02],
        "random_block": 0.1,
        "random_diagonal": 0.05,
        "in_left": [0.5, 0.6],
        "in_right": [0.3, 0.4],
        "random_left": 0.25,
        "random_right": 0.2,
    },
    index=[1, 2],
)


def test_cosines_are_printed_and_the_diagonal_is_left_white(ax):
    matrix = np.array([[1, 0.25, -0.3], [0.25, 1, np.nan], [-0.3, np.nan, 1]])
    assert figures.cosine_heatmap(ax, matrix, ["a", "b", "c"]) is ax
    shown = np.ma.filled(ax.images[0].get_array(), np.nan)
    np.testing.assert_array_equal(shown, np.where(np.eye(3), np.nan, matrix))
    assert ax.images[0].get_clim() == (-0.3, 0.25)
    assert {text.get_position(): text.get_text() for text in ax.texts} == {
        (1, 0): ".25",
        (0, 1): ".25",
        (2, 0): "-.30",
        (0, 2): "-.30",
    }


def test_kinds_of_weights_have_a_line_each_in_the_order_of_the_network(ax):
    points = pd.DataFrame(
        [("fc1", 0, 1.0), ("head", 0, 9.0), ("q", 0, 2.0), ("q", 0, 4.0), ("q", 1, 5.0)], columns=["kind", "depth", "norm"]
    )
    assert figures.kind_curves(ax, points, "depth", "norm") is ax
    found = [(line.get_label(), list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines]
    assert found == [("q", [0, 1], [3, 5]), ("fc1", [0], [1]), ("head", [0], [9])]


def test_removed_shares_are_stacked_beside_what_chance_would_remove(ax):
    assert figures.removed_shares(ax, SHARES) is ax
    bars = [(bar.get_y(), bar.get_height()) for bar in ax.patches]
    np.testing.assert_allclose(bars, [(0, 20), (0, 30), (20, 1), (30, 2)])
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [15, 15])


def test_aligned_shares_have_a_line_per_side_and_what_chance_would_give(ax):
    assert figures.aligned_shares(ax, SHARES) is ax
    np.testing.assert_allclose([line.get_ydata() for line in ax.lines], [(50, 60), (25, 25), (30, 40), (20, 20)])
