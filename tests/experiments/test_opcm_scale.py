"""What is measured of OPCM's scale agrees with the merger and with theorem 5.1."""

import numpy as np

from cmmlib import ContinualMerger, task_order
from cmmlib.analysis import scale_formulas
from cmmlib.experiments.opcm_scale import measure_scale

from ..helpers.golden_suite import SUITE


def test_lambda_is_the_mergers_and_the_formula_holds_for_linear_weights():
    steps = measure_scale(SUITE, "tiny", [3, 4], [40])
    assert steps["num_tasks"].tolist() == [3] * 3 + [4] * 4 and steps["step"].tolist() == [1, 2, 3, 1, 2, 3, 4]
    merger = ContinualMerger(SUITE.base("tiny"), "opcm")
    for task in task_order(SUITE.task_names(4), 40):
        merger.add(SUITE.checkpoint("tiny", task), name=task)
    four = steps[steps["num_tasks"] == 4]
    assert four["lambda"].tolist() == merger.history["lambda"].tolist()
    scales = scale_formulas(steps)
    np.testing.assert_allclose(scales["linear_norm"], scales["linear_general_term"], rtol=1e-3)
    np.testing.assert_allclose(scales.loc[scales["step"] == 1, ["lambda", "general_term", "unprojected"]], 1, rtol=1e-5)
    assert (scales["unprojected"] <= scales["step"] * 1.0001).all()
