"""The numbers of the cost bench as a picture."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd

from cmmlib.bench import cost


def test_the_picture_has_a_line_per_method_in_models_rather_than_bytes():
    rows = [("OPCM", 1, 0.5, 100, 300), ("OPCM", 2, 0.6, 100, 310), ("TIES, all at once", 1, 0.1, 100, 200)]
    costs = pd.DataFrame(rows, columns=["method", "models", "seconds", "kept_bytes", "peak_bytes"])
    figure = cost.picture(costs, model_bytes=100)
    seconds, kept, peak = ([list(line.get_ydata()) for line in ax.lines] for ax in figure.axes)
    assert (seconds, kept, peak) == ([[0.5, 0.6], [0.1]], [[1, 1], [1]], [[3, 3.1], [2]])
    plt.close(figure)
