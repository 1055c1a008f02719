"""The formulas for OPCM's scale, on norms of which they are known."""

import numpy as np
import pandas as pd
import pytest

from cmmlib.analysis.opcm_scale import scale_errors, scale_formulas


def steps(num_tasks, seed, linear, other, norms):
    """Orthogonal task vectors of which nothing is removed: every formula but √t gives λ itself."""
    squares = np.cumsum(linear) + np.cumsum(other)
    mean = np.cumsum(norms) / np.arange(1, num_tasks + 1)
    return pd.DataFrame(
        {
            "num_tasks": num_tasks,
            "seed": seed,
            "step": np.arange(1, num_tasks + 1),
            "lambda": np.sqrt(squares) / mean,
            "mean_norm": mean,
            "sum_norm": np.sqrt(squares),
            "linear_norm": np.sqrt(np.cumsum(linear)),
            "cleaned_linear": linear,
            "cleaned_other": other,
        }
    )


def test_of_orthogonal_task_vectors_of_one_length_lambda_is_the_root_of_their_number():
    found = scale_formulas(steps(4, 40, [9.0] * 4, [16.0] * 4, [5.0] * 4))
    for name in ("lambda", "general_term", "sqrt_t", "unprojected"):
        np.testing.assert_allclose(found[name], np.sqrt([1, 2, 3, 4]))
    np.testing.assert_allclose(found["linear_general_term"], found["linear_norm"])


def test_every_order_starts_its_sum_anew():
    one, two = steps(3, 40, [1.0, 4, 4], [0.0, 0, 0], [1.0, 2, 2]), steps(3, 41, [9.0, 1, 4], [0.0, 0, 0], [3.0, 1, 2])
    together = scale_formulas(pd.concat([one, two], ignore_index=True))
    apart = pd.concat([scale_formulas(one), scale_formulas(two)], ignore_index=True)
    pd.testing.assert_frame_equal(together, apart)
    np.testing.assert_allclose(together["general_term"], together["lambda"])


def test_errors_are_those_after_the_last_model_in_per_cent():
    found = scale_formulas(steps(2, 40, [1.0, 1], [0.0, 0], [1.0, 1])).assign(general_term=[5.0, np.sqrt(2) / 1.1])
    errors = scale_errors(found).loc[2]
    assert errors["off_sqrt_t"] == pytest.approx(0) and errors["off_general_term"] == pytest.approx(10)
    assert errors["lambda"] == pytest.approx(np.sqrt(2))
