"""Metrics against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cmmlib.analysis import metrics

#              task 0  1   2
R = np.array([[90.0, 20, 10], [80, 95, 30], [60, 75, 85]])
PRETRAINED = [40.0, 25, 15]
INDIVIDUAL = [96.0, 100, 85]
SCALARS = {
    "average_accuracy": (60 + 75 + 85) / 3,
    "backward_transfer": ((60 - 90) + (75 - 95)) / 2,
    "forgetting": ((90 - 60) + (95 - 75)) / 2,
    "plasticity": (90 + 95 + 85) / 3,
}


@pytest.mark.parametrize("name", SCALARS)
def test_scalar_metrics_by_hand(name: str):
    assert getattr(metrics, name)(R) == pytest.approx(SCALARS[name])


def test_metrics_with_a_second_array_by_hand():
    assert metrics.normalized_accuracy(R, INDIVIDUAL) == pytest.approx((60 / 96 + 75 / 100 + 85 / 85) / 3)
    assert metrics.forward_transfer(R, PRETRAINED) == pytest.approx(((20 - 25) + (30 - 15)) / 2)


@pytest.mark.filterwarnings("error")
def test_an_individual_model_that_got_nothing_right_leaves_nothing_to_compare_with():
    assert np.isnan(metrics.normalized_accuracy(R, [96.0, 0.0, 85]))


def test_curves_by_hand():
    assert metrics.seen_accuracy(R) == pytest.approx([90, 87.5, 220 / 3])
    assert metrics.unseen_accuracy(R) == pytest.approx([15, 30, np.nan], nan_ok=True)


def test_forgetting_starts_from_the_best_accuracy_since_the_task_was_merged():
    # task 0 peaks at step 1, after its merging; task 1 had 99 before it was merged, which does not count
    late_peak = [[50, 99, 0], [70, 60, 0], [65, 55, 80]]
    assert metrics.forgetting(late_peak) == pytest.approx(((70 - 65) + (60 - 55)) / 2)
    assert metrics.backward_transfer(late_peak) == pytest.approx(((65 - 50) + (55 - 60)) / 2)


def test_forgetting_is_negative_where_the_end_is_the_best():
    assert metrics.forgetting([[50, 0], [60, 70]]) == -10


@pytest.mark.parametrize("name", ["backward_transfer", "forgetting"])
def test_nothing_can_be_forgotten_of_a_single_task(name: str):
    assert np.isnan(getattr(metrics, name)([[80.0]]))
    assert getattr(metrics, name)(np.ones((4, 1, 1))).shape == (4,)


def test_a_single_task_has_accuracy_but_no_transfer():
    assert metrics.average_accuracy([[80.0]]) == metrics.plasticity([[80.0]]) == 80
    assert np.isnan(metrics.forward_transfer([[80.0]], [50.0]))
    assert metrics.seen_accuracy([[80.0]]) == 80
    assert np.isnan(metrics.unseen_accuracy([[80.0]])).all()


@pytest.mark.parametrize("lead", [(), (5,), (2, 3), (0,)])
def test_leading_axes_are_kept(lead: tuple[int, ...]):
    stack = np.random.default_rng(0).random((*lead, 4, 4))
    individual, pretrained = np.full(4, 0.9), np.full((*lead, 4), 0.3)
    results = {
        **{name: getattr(metrics, name) for name in SCALARS},
        "normalized_accuracy": lambda r: metrics.normalized_accuracy(r, individual),
        "forward_transfer": lambda r: metrics.forward_transfer(r, pretrained[..., :4] if r.ndim > 2 else [0.3] * 4),
    }
    for name, function in results.items():
        values = np.asarray(function(stack))
        assert values.shape == lead, name
        for index in np.ndindex(*lead):
            assert values[index] == pytest.approx(np.asarray(function(stack[index]))), name
    for curve in (metrics.seen_accuracy, metrics.unseen_accuracy):
        assert curve(stack).shape == (*lead, 4)


def test_what_was_not_measured_only_spoils_what_needs_it():
    # the protocol without curves: the task just merged after each step, all tasks after the last
    sparse = np.array([[90.0, np.nan, np.nan], [np.nan, 95, np.nan], [60, 75, 85]])
    for name in ("average_accuracy", "backward_transfer", "plasticity"):
        assert getattr(metrics, name)(sparse) == getattr(metrics, name)(R)
    assert np.isnan(metrics.forgetting(sparse))
    assert np.isnan(metrics.forward_transfer(sparse, PRETRAINED))
    assert metrics.seen_accuracy(sparse) == pytest.approx([90, np.nan, 220 / 3], nan_ok=True)


@pytest.mark.parametrize("name", SCALARS)
def test_fractions_and_percentages_give_the_same_metric(name: str):
    metric = getattr(metrics, name)
    assert metric(R / 100) == pytest.approx(metric(R) / 100)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (4, 3, 2), (0, 0), ()])
def test_an_array_that_is_not_steps_by_tasks_is_refused(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"\[\.\.\., steps, tasks\]"):
        metrics.average_accuracy(np.zeros(shape))
