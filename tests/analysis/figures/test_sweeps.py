"""A sweep's line goes through the means over orders, at the values or side by side."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from cmmlib.analysis import figures


def sweep(*values):
    return pd.DataFrame([(v, 50.0 + i + s) for i, v in enumerate(values) for s in (0, 1)], columns=["value", "acc"])


def test_evenly_spaced_numbers_stand_where_they_are(ax):
    assert figures.sweep_curve(ax, sweep(0.1, 0.2, 0.5), "acc", published=0.2, chosen=0.5) is ax
    dots, mean, published, chosen = ax.lines
    assert list(dots.get_ydata()) == [50, 51, 51, 52, 52, 53]
    assert (list(mean.get_xdata()), list(mean.get_ydata())) == ([0.1, 0.2, 0.5], [50.5, 51.5, 52.5])
    assert published.get_xdata()[0] == 0.2
    assert (chosen.get_xdata()[0], chosen.get_ydata()[0]) == (0.5, 52.5)


@pytest.mark.parametrize("values", [(1e-5, 1e-3, 0.1), (0.8, "balanced", "mgda")])
def test_names_and_numbers_far_apart_stand_side_by_side(ax, values):
    figures.sweep_curve(ax, sweep(*values), "acc", published="of no run")
    assert list(ax.lines[1].get_xdata()) == [0, 1, 2] and len(ax.lines) == 2
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        f"{value:g}" if isinstance(value, float) else value for value in values
    ]


@pytest.fixture
def panels():
    figure, axes = plt.subplots(2, 2)
    yield axes
    plt.close(figure)


def test_acc_and_bwt_have_axes_of_their_own(panels):
    points = sweep(0.1, 0.2).assign(bwt=-1.0)
    figures.acc_and_bwt(panels[0], points, published=0.2)
    assert [ax.get_ylabel() for ax in panels[0]] == ["ACC (%)", "BWT (points)"]
    assert [list(ax.lines[1].get_ydata()) for ax in panels[0]] == [[50.5, 51.5], [-1, -1]]


def test_a_column_of_panels_per_sweep_says_once_what_all_share(panels):
    points = pd.concat([sweep(0.1, 0.2).assign(sweep="alpha"), sweep("u", "uv").assign(sweep="space")]).assign(bwt=-1.0)
    assert figures.sweep_columns(panels, points, {"space": ("space", "uv"), "alpha": ("α", 0.3)}) is panels
    assert [ax.get_xlabel() for ax in panels.flat] == ["", "", "space", "α"]
    assert [ax.get_ylabel() for ax in panels.flat] == ["ACC (%)", "", "BWT (points)", ""]
    assert len(panels[0, 0].lines) == 3 and len(panels[0, 1].lines) == 2  # 0.3 was not swept: no dotted line
    legends = [[text.get_text() for text in ax.get_legend().texts] if ax.get_legend() else [] for ax in panels.flat]
    assert legends == [["published or default"], [], [], []]  # once, on the first panel that has the line


def test_tuning_panels_mark_what_was_chosen_for_that_label_and_number_of_tasks(panels):
    parts = [
        sweep(0.1, 0.2, 0.3).assign(label=label, num_tasks=number) for number in (8, 20) for label in ("TIES", "MagMax")
    ]
    keys = pd.MultiIndex.from_tuples([("TIES", 8), ("MagMax", 8), ("TIES", 20), ("MagMax", 20)])
    choice = pd.DataFrame({"published": 0.1, "chosen": [0.1, 0.2, 0.3, 0.2]}, index=keys)
    assert figures.tuning_panels(panels, pd.concat(parts), choice) is panels
    assert [ax.lines[-1].get_xdata()[0] for ax in panels.flat] == [0.1, 0.2, 0.3, 0.2]
    assert [ax.get_title() for ax in panels.flat] == ["TIES", "MagMax", "", ""]
    assert [row[0].get_ylabel() for row in panels] == ["ACC (%), 8 tasks", "ACC (%), 20 tasks"]
    assert [ax.get_xlabel() for ax in panels[1]] == ["λ", "λ"]
