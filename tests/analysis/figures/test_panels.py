"""A figure is saved when its block ends, and not when it fails."""

import matplotlib.pyplot as plt
import pytest

from cmmlib.analysis import figures


def test_the_figure_is_saved_in_the_style_of_a_paper_and_closed(tmp_path):
    before = plt.get_fignums()
    with figures.panels(tmp_path / "picture", 2, 3, size=(4, 2), sharex="col") as axes:
        assert axes.shape == (2, 3) and plt.rcParams["font.size"] == 7
        axes[0, 0].plot([1, 2], [3, 4])
    assert {path.name for path in tmp_path.iterdir()} == {"picture.png", "picture.pdf"}
    assert plt.get_fignums() == before


def test_a_block_that_fails_leaves_no_file(tmp_path):
    before = plt.get_fignums()
    with pytest.raises(KeyError), figures.panels(tmp_path / "picture", size=(4, 2)):
        raise KeyError
    assert not any(tmp_path.iterdir()) and plt.get_fignums() == before
