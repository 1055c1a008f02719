"""Distances from the base, and what a saved merge weighs."""

import numpy as np
import pytest

from cmmlib.experiments import cap_distances, merge_distances, traces_of_arrivals
from cmmlib.suites import load_suite


def test_every_step_of_every_row_is_measured():
    suite = load_suite("mini")
    order = suite.task_names(3)
    walk = merge_distances(suite, suite.backbones[0], ["Weight average", "OPCM"], [order, order[:2]])
    assert walk.groupby(["num_tasks", "label"], sort=False).task.agg(list).to_dict() == {
        (3, "Weight average"): list(order),
        (3, "OPCM"): list(order),
        (2, "Weight average"): list(order[:2]),
        (2, "OPCM"): list(order[:2]),
    }
    opcm = walk[walk.label == "OPCM"]
    np.testing.assert_allclose(opcm.distance, opcm.mean_task_norm, rtol=1e-5)  # theorem 5.2
    assert walk.kept_bytes.max() < 1.02 * walk.kept_bytes.min() and walk.kept_bytes.min() > 0


def test_an_unknown_row_is_refused():
    suite = load_suite("mini")
    with pytest.raises(ValueError, match="no row and unknown method"):
        merge_distances(suite, suite.backbones[0], ["nonsense"], [suite.task_names(1)])


def test_what_is_left_of_each_model():
    suite = load_suite("mini")
    order = suite.task_names(3)
    left = traces_of_arrivals(suite, suite.backbones[0], ["Weight average", "DOP-exact (balanced)"], order)
    assert (
        left.shape == (2, 3) and list(left.columns) == [1, 2, 3] and left.gt(0).all(axis=None) and left.lt(1).all(axis=None)
    )
    there = traces_of_arrivals(suite, suite.backbones[0], ["Weight average"], order[::-1])
    np.testing.assert_allclose(there.loc["Weight average"], left.loc["Weight average"][::-1], atol=1e-6)
    dop = left.loc["DOP-exact (balanced)"]
    assert dop[3] > dop[1], "the newest weighs as much as all before it"


def test_only_layers_that_are_much_wider_or_taller_than_the_other_way_are_cut():
    suite = load_suite("mini")
    apart = cap_distances(suite, suite.backbones[0], suite.task_names(2))
    assert apart.groupby("kind", sort=False).size().to_dict() == {"patch_embedding": 1, "fc1": 4, "fc2": 4}
    assert apart.distance.between(5, 90).all()
    alone = cap_distances(suite, suite.backbones[0], suite.task_names(1))
    assert alone.empty  # a single model comes back
