"""Panels over layers draw the tables that they are given."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from cmmlib.analysis import figures


@pytest.fixture
def axes():
    figure, axes = plt.subplots(1, 4)
    yield list(axes)
    plt.close(figure)


def ends(ax):
    return [list(line.get_ydata()) for line in ax.lines]


def test_spectra_have_a_line_per_kind_and_alpha_is_marked(axes):
    layers = pd.DataFrame({"kind": "q", "depth": [0, 1], "norm": [1.0, 2.0], "effective_share": [0.4, 0.6]})
    spectra = pd.DataFrame({"kind": "q", "position": [0.5, 1.0], "relative": [1.0, 0.1], "share": [0.9, 1.0]})
    assert figures.spectrum_panels(axes, layers, spectra, 0.5) is axes
    assert ends(axes[0]) == [[1, 2]] and ends(axes[1]) == [[0.4, 0.6]] and axes[1].get_ylim() == (0, 1)
    assert ends(axes[2]) == [[1, 0.1]] and axes[2].get_yscale() == "log"
    assert ends(axes[3]) == [[0.9, 1], [0.5, 0.5]]
    assert "0.5" in axes[3].texts[0].get_text()


def test_a_layer_outside_the_blocks_has_no_depth_to_be_drawn_at(axes):
    layers = pd.DataFrame({"kind": ["q", "q", "pooler"], "depth": [0, 1, -1], "norm": 1.0, "effective_share": 0.5})
    spectra = pd.DataFrame({"kind": ["q", "pooler"], "position": 1.0, "relative": 1.0, "share": 1.0})
    figures.spectrum_panels(axes, layers, spectra, 0.5)
    assert [list(line.get_xdata()) for line in axes[0].lines] == [[0, 1]]
    assert [line.get_label() for line in axes[2].lines] == ["q", "pooler"]


def test_the_mark_of_alpha_lies_inside_however_low_the_rank(axes):
    layers = pd.DataFrame({"kind": "q", "depth": [0, 1], "norm": 1.0, "effective_share": 0.02})
    spectra = pd.DataFrame({"kind": "q", "position": [0.01, 0.02], "relative": [1.0, 0.1], "share": [0.9, 1.0]})
    figures.spectrum_panels(axes, layers, spectra, 0.5)
    axes[3].figure.canvas.draw()
    text, panel = axes[3].texts[0].get_window_extent(), axes[3].get_window_extent()
    assert panel.x0 <= text.x0 and text.x1 <= panel.x1


def test_curves_of_low_rank_end_where_rounding_begins_and_their_ranks_have_an_axis_of_their_own(axes):
    layers = pd.DataFrame({"kind": "q", "depth": [0, 1], "norm": 1.0, "effective_share": [0.01, 0.02]})
    spectra = pd.DataFrame({"kind": "q", "position": [0.01, 0.02, 0.03], "relative": [1, 0.1, 1e-7], "share": [0.9, 1, 1]})
    figures.spectrum_panels(axes, layers, spectra, 0.5)
    assert ends(axes[2]) == [[1, 0.1]] and ends(axes[3])[0] == [0.9, 1]
    assert axes[1].get_ylim()[0] == 0 and axes[1].get_ylim()[1] < 0.03


def test_what_is_removed_is_drawn_by_step_and_by_depth(axes):
    shares = {"removed_block": 0.2, "removed_diagonal": 0.1, "random_block": 0.1, "random_diagonal": 0.05}
    shares |= {"in_left": 0.5, "in_right": 0.3, "random_left": 0.25, "random_right": 0.2}
    by_step = pd.DataFrame(shares, index=[1, 2])
    by_layer = pd.DataFrame({"kind": "q", "depth": [0, 1], "removed": [10.0, 30.0]})
    assert figures.projection_panels(axes[:3], by_step, by_layer) == axes[:3]
    assert ends(axes[1]) == [[10, 30]]
    tops = [ax.get_ylim()[1] for ax in axes[:3]]
    assert tops == pytest.approx([1.45 * 30, 1.3 * 30, 1.5 * 50])
    assert all(ax.get_legend() for ax in axes[:3])
