"""The pictures of accuracies draw the numbers that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from cmmlib.analysis import figures

RUNS = pd.DataFrame(
    [(label, number, seed, acc + seed) for label, number, acc in (("OPCM", 8, 70), ("Mine", 8, 60), ("OPCM", 14, 50))
     for seed in range(5)],
    columns=["label", "num_tasks", "seed", "acc"],
)  # fmt: skip


def test_the_heatmap_holds_the_array_and_outlines_what_has_been_merged(ax):
    R = np.array([[90.0, 20], [np.nan, 85]])
    assert figures.accuracy_heatmap(ax, R, ["mnist", "svhn"]) is ax
    np.testing.assert_array_equal(np.ma.filled(ax.images[0].get_array(), np.nan), R)
    assert {text.get_position(): text.get_text() for text in ax.texts} == {(0, 0): "90", (1, 0): "20", (1, 1): "85"}
    assert [patch.get_xy() for patch in ax.patches] == [(-0.5, -0.5), (0.5, 0.5)]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1: + mnist", "2: + svhn"]


def test_the_main_figure_has_a_bar_at_the_mean_and_a_mark_per_order():
    references = pd.DataFrame({"Pretrained": {8: 40.0, 14: 30.0}, "Individual": {8: 95.0, 14: 94.0}})
    figure, axes = plt.subplots(1, 2)
    assert figures.main_figure(axes, RUNS, references) is axes
    assert [bar.get_width() for bar in axes[0].patches] == [62, 72]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["Mine", "OPCM"]  # the first label on top
    orders = [list(line.get_xdata()) for line in axes[0].lines if line.get_marker() == "|"]
    assert orders == [[60, 61, 62, 63, 64], [70, 71, 72, 73, 74]]
    bounds = {line.get_label(): line.get_xdata()[0] for line in axes[1].lines if line.get_marker() == ""}
    assert bounds == {"Pretrained": 30, "Individual": 94}
    assert [ax.get_title() for ax in axes] == ["8 tasks", "14 tasks"]
    plt.close(figure)


def test_the_main_figure_needs_axes_for_every_number_of_tasks(ax):
    with pytest.raises(ValueError):
        figures.main_figure([ax], RUNS, pd.DataFrame({"Pretrained": {8: 40.0, 14: 30.0}}))


def test_the_strip_has_a_box_of_quartiles_and_a_dot_per_order(ax):
    assert figures.order_strip(ax, RUNS[RUNS.num_tasks == 8]) is ax
    assert [(box.get_x(), box.get_x() + box.get_width()) for box in ax.patches] == [(61, 63), (71, 73)]
    dots = [list(line.get_xdata()) for line in ax.lines if line.get_marker() == "o"]
    assert dots == [[60, 61, 62, 63, 64], [70, 71, 72, 73, 74]]
