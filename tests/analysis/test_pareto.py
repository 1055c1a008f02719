"""Losses along the Pareto front and off it: against `pareto_front`, the method itself, and the front's definition."""

import numpy as np
import pandas as pd
import pytest
import torch

from cmmlib import merge, pareto_front
from cmmlib.analysis import pareto

from ..helpers.layers import LINEAR, small_models

BASE, OLD, NEW = small_models()
LAYERS = ["a.weight", "b.weight"]
ALPHAS = [0.0, 0.3, 0.8, 1.0]


def task_vectors(model):
    return {key: model[key] - BASE[key] for key in LAYERS}


@pytest.fixture(scope="module")
def found():
    """The front, and the models on it."""
    return pareto_front(BASE, OLD, NEW, [*ALPHAS, "balanced", "mgda"], weights=True, linear=LINEAR)


@pytest.fixture(scope="module")
def losses():
    return pareto.layer_losses(task_vectors(OLD), task_vectors(NEW))


@pytest.mark.parametrize("alpha", [0.3, 0.8, "balanced", "mgda"])
def test_losses_of_a_model_on_the_front_are_those_of_the_front(found, losses, alpha):
    front, models = found
    at, expected = pareto.losses_at(losses, task_vectors(models[alpha])), pareto.layer_front(front, alpha)
    assert list(at.index) == list(expected.index) == LAYERS
    np.testing.assert_allclose(at, expected[["L0", "L1"]], rtol=1e-4)  # the models are in float32


def test_the_losses_vanish_at_the_models_that_they_are_of(losses):
    assert (pareto.losses_at(losses, task_vectors(OLD))["L0"] == 0).all()
    assert (pareto.losses_at(losses, task_vectors(NEW))["L1"] == 0).all()


def test_a_models_losses_are_the_sums_over_its_layers(found):
    front, _ = found
    total = pareto.model_front(front)
    assert list(total.index) == [*ALPHAS, "balanced", "mgda"] and list(total.columns) == ["a", "L0", "L1"]
    for alpha in total.index:
        layers = pareto.layer_front(front, alpha)
        assert total.loc[alpha, "L0"] == pytest.approx(layers["L0"].sum())
        assert total.loc[alpha, "L1"] == pytest.approx(layers["L1"].sum())
        assert total.loc[alpha, "a"] == pytest.approx(layers["a"].mean())


def test_nothing_lies_below_the_front(found, losses):
    front, _ = found
    for method in ("weight_average", "opcm", "dop"):
        at = pareto.losses_at(losses, task_vectors(merge(BASE, [OLD, NEW], method=method, linear=LINEAR)))
        best, reached = pareto.objectives(front, at)
        assert list(best.columns) == list(reached.columns) == ALPHAS and list(best.index) == LAYERS
        assert (reached >= best * (1 - 1e-6)).all(axis=None)


def test_a_point_of_the_front_is_on_it_and_another_model_is_above(found, losses):
    front, _ = found
    assert pareto.above_front(front, pareto.layer_front(front, 0.3)) == pytest.approx(0, abs=1e-9)
    twice = 2 * pareto.layer_front(front, 0.3)
    assert pareto.above_front(front, twice) == pytest.approx(
        min(100 * (reached / best - 1) for best, reached in by_hand(front, twice, [0.3, 0.8]))
    )
    average = pareto.losses_at(losses, task_vectors(merge(BASE, [OLD, NEW], method="weight_average", linear=LINEAR)))
    table = pareto.landings(front, {"Weight average": average})
    assert table.loc["Weight average", "L0"] == average["L0"].sum()
    assert table.loc["Weight average", "above the front (%)"] > 0


def by_hand(front, losses, alphas):
    for a in alphas:
        points = front[front["alpha"] == a]
        best = a * points["loss_stability"].sum() + (1 - a) * points["loss_plasticity"].sum()
        yield best, a * losses["L0"].sum() + (1 - a) * losses["L1"].sum()


def test_the_solver_ends_where_the_method_ends(losses):
    ends = pareto.solver_ends(task_vectors(OLD), task_vectors(NEW))
    merged = merge(BASE, [OLD, NEW], method="dop", linear=LINEAR)
    np.testing.assert_allclose(ends[["L0", "L1"]], pareto.losses_at(losses, task_vectors(merged)), rtol=1e-3)
    assert (ends["excess (%)"] >= -1e-3).all()


def test_without_a_step_the_solver_stays_at_the_average(losses):
    ends = pareto.solver_ends(task_vectors(OLD), task_vectors(NEW), num_steps=0)
    average = {key: (task_vectors(OLD)[key] + task_vectors(NEW)[key]) / 2 for key in LAYERS}
    np.testing.assert_allclose(ends[["L0", "L1"]], pareto.losses_at(losses, average), rtol=1e-6)
    assert (ends["a"] == 0.8).all() and (ends["excess (%)"] > 0).all()


def test_more_steps_at_a_fixed_a_leave_less_of_the_excess():
    few, many = (
        pareto.solver_ends(task_vectors(OLD), task_vectors(NEW), num_steps=n, mgda=False, lr=1e-3) for n in (5, 500)
    )
    assert (many["a"] == 0.8).all() and (many["excess (%)"] < few["excess (%)"]).all()


def test_a_setting_that_the_solver_has_not_is_an_error():
    with pytest.raises(TypeError, match="momentum"):
        pareto.solver_ends(task_vectors(OLD), task_vectors(NEW), momentum=0.9)


ENDS = pd.DataFrame({"a": [0.6, 0.8], "L0": [1.0, 3.0], "L1": [2.0, 2.0]}, index=LAYERS)


def test_differences_are_relative_for_losses_and_of_sums_for_the_model():
    changed = ENDS.assign(a=ENDS["a"] + 0.1, L0=[1.1, 3.3], L1=[1.0, 2.0])
    off = pareto.differences(changed, ENDS)
    assert list(off.index) == [*LAYERS, "all"]
    np.testing.assert_allclose(off["a"], 0.1)
    np.testing.assert_allclose(off["L0 (%)"], 10)
    np.testing.assert_allclose(off["L1 (%)"], [-50, 0, -25])


def test_differences_in_words_name_the_extremes():
    off = pareto.differences(ENDS.assign(a=[0.6, 0.81], L1=[1.0, 2.0]), ENDS)
    words = pareto.differences_in_words(off, pd.Series([0.1, 0.5], LAYERS))
    assert "over 2 layers" in words and "within 0.0100" in words
    assert "L1 by -25.0 % (layers -50.0 to +0.0 %)" in words
    assert "0.30 % above" in words and "worst layer 0.50 %" in words


def test_a_tall_and_a_wide_layer_have_losses_of_one_kind():
    tau = torch.arange(12.0).reshape(3, 4)
    wide = pareto.layer_losses({"w": tau}, {"w": -tau})
    tall = pareto.layer_losses({"w": tau.T}, {"w": -tau.T})
    at = pareto.losses_at(wide, {"w": tau + 1}), pareto.losses_at(tall, {"w": tau.T + 1})
    np.testing.assert_allclose(*at)
