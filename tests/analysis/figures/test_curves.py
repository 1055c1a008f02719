"""Curves go through the means over orders."""

import pandas as pd
import pytest

from cmmlib.analysis import figures

POINTS = pd.DataFrame(
    [("OPCM", 40, 1, 90.0), ("OPCM", 41, 1, 80.0), ("OPCM", 40, 2, 70.0), ("OPCM", 41, 2, 74.0), ("Mine", 40, 1, 60.0)],
    columns=["label", "seed", "step", "seen"],
).assign(pretrained=50.0, individual=95.0)


def lines(ax):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines}


def test_step_curves_show_the_mean_the_spread_and_the_bounds(ax):
    assert figures.step_curves(ax, POINTS) is ax
    assert lines(ax) == {
        "OPCM": ([1, 2], [85, 72]),
        "Mine": ([1], [60]),
        "Pretrained": ([1, 2], [50, 50]),
        "Individual": ([1, 2], [95, 95]),
    }
    (band,) = ax.collections  # none for the label with a single order
    ends = band.get_paths()[0].vertices[:, 1]
    assert ends.max() == pytest.approx(85 + 50**0.5) and ends.min() == pytest.approx(72 - 8**0.5)


def test_unseen_accuracy_has_no_bounds_and_leaves_out_what_was_not_measured(ax):
    figures.step_curves(ax, POINTS.assign(unseen=POINTS["seen"].where(POINTS["step"] == 1)), "unseen")
    assert lines(ax) == {"OPCM": ([1], [85]), "Mine": ([1], [60])} and not ax.collections
    assert "unseen" in ax.get_ylabel()


def test_label_curves_show_the_mean_of_any_column(ax):
    assert figures.label_curves(ax, POINTS, "individual") is ax
    assert lines(ax) == {"OPCM": ([1, 2], [95, 95]), "Mine": ([1], [95])}


def test_history_curves_show_the_columns_asked_for(ax):
    history = pd.DataFrame({"task_norm": [1.0, 2.0], "scale": [3.0, 4.0], "more": 0.0}, index=[1, 2])
    assert figures.history_curves(ax, history, ["task_norm", "scale"]) is ax
    assert lines(ax) == {"task norm": ([1, 2], [1, 2]), "scale": ([1, 2], [3, 4])}
    assert all(tick == int(tick) for tick in ax.get_xticks())  # models are counted


def test_named_curves_end_with_their_names_and_values_which_do_not_overlap(ax):
    points = pd.concat([POINTS, POINTS[POINTS["label"] == "OPCM"].assign(label="DOP", seen=lambda part: part["seen"] - 1)])
    names = {"OPCM": "the first", "DOP": "the second", "Absent": "nobody", "Individual": "alone", "Pretrained": "before"}
    assert figures.named_curves(ax, points, names) is ax
    assert lines(ax) == {
        "OPCM": ([1, 2], [85, 72]),
        "DOP": ([1, 2], [84, 71]),
        "Individual": ([1, 2], [95, 95]),
        "Pretrained": ([1, 2], [50, 50]),
    }
    heights = {text.get_text(): text.xy[1] for text in ax.texts}
    assert heights["alone 95"] == 95 and heights["before 50"] == 50 and heights["the second 71"] == 71
    assert heights["the first 72"] == pytest.approx(71 + 0.06 * 55)  # pushed up: the axis goes from 45 to 100
    assert ax.get_ylim() == (45, 100)
