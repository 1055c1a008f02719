"""What is kept between models."""

import pandas as pd

from cmmlib.analysis import figures


def test_labels_that_end_alike_share_a_line(ax):
    kept = {"OPCM": [1.0, 1.0], "Mine": [1.01, 1.02], "Other": [2.0, 2.0], "all models kept": [1.0, 2.5]}
    rows = [(label, step, value) for label, values in kept.items() for step, value in enumerate(values, 1)]
    assert figures.kept_curves(ax, pd.DataFrame(rows, columns=["label", "step", "models"])) is ax
    found = {line.get_label(): list(line.get_ydata()) for line in ax.lines}
    assert found == {"OPCM, Mine": [1, 1], "Other": [2, 2], "all models kept": [1, 2.5]}
    assert ax.lines[-1].get_linestyle() == "--"
