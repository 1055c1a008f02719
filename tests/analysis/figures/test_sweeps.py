"""A sweep's line goes through the means over orders, at the values or side by side."""

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
