"""The picture of OPCM's scale draws means over orders."""

import pandas as pd

from cmmlib.analysis import figures


def test_lambda_and_its_formulas_are_means_over_orders(ax):
    rows = [(40, 1, 1.0), (40, 2, 1.2), (41, 1, 1.0), (41, 2, 1.4)]
    scales = pd.DataFrame(rows, columns=["seed", "step", "lambda"])
    scales = scales.assign(general_term=1.0, sqrt_t=scales["step"] ** 0.5, unprojected=scales["step"])
    assert figures.scale_curves(ax, scales) is ax
    drawn = {line.get_label(): list(line.get_ydata()) for line in ax.lines}
    assert drawn[r"$\lambda_t$ as reported"] == [1, (1.2 + 1.4) / 2]
    assert drawn["without projection"] == [1, 2] and drawn["general term"] == [1, 1]
    assert drawn[r"$\sqrt{t}$"] == [1, 2**0.5] and ax.get_ylim()[0] == 0
