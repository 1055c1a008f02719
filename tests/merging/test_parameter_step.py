"""One parameter's step: the method's function, given what it is to be given, and nothing that is not finite comes out."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from cmmlib.merging.new_recipe import new_recipe
from cmmlib.merging.parameter_step import BLOCK, Inputs, ParameterStep, context_of
from cmmlib.merging.standing import Standing
from cmmlib.methods import Context, Method, get_method

from ..helpers.layers import randn
from ..helpers.models import METHODS, QUICK

BASE, TAU = randn(4, 6, seed=1), randn(4, 6, seed=2)
CONTEXT = Context(3, name="fc.weight", kind="linear", mean_norm=2.5, running_norm=4.0)


def step_of(method: str) -> ParameterStep:
    found = get_method(method)
    return ParameterStep(found, found.resolve(QUICK.get(method, {})))


def surveyed(step: ParameterStep, inputs: Inputs) -> Inputs:
    """With what the method surveys of the whole model, which here is one parameter."""
    survey, accumulated = step.method.survey, inputs.accumulated
    if survey is None or accumulated is None:
        return inputs

    class Pairs:
        entries = accumulated.numel()

        def map(self, function: Callable) -> list:
            return [function(accumulated, inputs.task_vector)]

    return inputs._replace(context=replace(inputs.context, survey=survey(Pairs(), inputs.context, **step.params)))


def third_of(step: ParameterStep) -> Inputs:
    """What the step of the third model is made of."""
    value = None
    for t in (1, 2):
        tau = randn(4, 6, seed=10 + t)
        value = step(surveyed(step, Inputs(value, tau, BASE, replace(CONTEXT, t=t)))).value
    return surveyed(step, Inputs(value, TAU, BASE, CONTEXT))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sent", [False, True], ids=["here", "sent"])
def test_a_step_gives_what_the_methods_function_gives(method: str, sent: bool):
    step = step_of(method)
    inputs = third_of(step)
    context = replace(inputs.context, base=BASE)
    expected = step.method.step(inputs.accumulated, TAU, context, **step.params)
    expected, numbers = expected if isinstance(expected, tuple) else (expected, {})
    if sent:  # as to another process
        step, inputs = pickle.loads(pickle.dumps((step, inputs)))
    value, square, report = step(inputs)
    assert torch.equal(value, expected) and report == numbers
    assert square == pytest.approx(float(expected.double().square().sum()), rel=1e-14)


def test_a_function_is_given_zeros_the_task_vector_and_the_base():
    seen: list[tuple[Any, ...]] = []

    def watched(merged: Tensor, task_vector: Tensor, ctx: Context, *, factor: float = 1.0) -> Tensor:
        seen.append((merged, task_vector, ctx, factor))
        return merged + task_vector

    step = ParameterStep(Method("watched", watched, ""), {"factor": 2.0})
    value, _, report = step(Inputs(None, TAU, BASE, CONTEXT))
    again, *_ = step(Inputs(value, TAU, BASE, CONTEXT))
    (first, task_vector, context, factor), (second, *_) = seen
    assert torch.equal(first, torch.zeros_like(BASE)) and first.dtype == BASE.dtype and second is value
    assert task_vector is TAU and factor == 2.0 and report == {}
    assert context.base is BASE and replace(context, base=None) == CONTEXT
    assert torch.equal(again, 2 * TAU) and CONTEXT.base is None


@pytest.mark.parametrize(
    ("gives", "message"),
    [
        (lambda tau: tau * float("nan"), r"shape \(4, 6\) for 'fc.weight' of shape \(4, 6\), finite: False"),
        (lambda tau: tau / 0.0, "finite: False"),
        (lambda tau: {"sum": tau, "rows": tau[0] * float("inf")}, "finite: False"),
        (lambda tau: tau.T, r"shape \(6, 4\) for 'fc.weight' of shape \(4, 6\), finite: True"),
        (lambda tau: tau[:1], r"shape \(1, 6\) for"),
        (lambda tau: tau.sum(), r"shape \(\) for"),
    ],
)
def test_what_is_not_finite_or_of_another_shape_is_refused(gives: Any, message: str):
    step = ParameterStep(Method("faulty", lambda merged, tau, ctx: gives(tau), ""), {})
    with pytest.raises(ValueError, match=rf"method 'faulty' returned a tensor of .*{message}"):
        step(Inputs(None, TAU, BASE, CONTEXT))


@pytest.mark.parametrize("method", ["weight_average", "task_arithmetic", "magmax"])
@pytest.mark.parametrize("in_rows", [True, False], ids=["in rows", "in columns"])
def test_only_what_is_spent_gives_its_memory_to_the_new_value(method: str, in_rows: bool):
    step = step_of(method)
    accumulated, tau, base = (randn(BLOCK // 2 + 1, 4, seed=seed) for seed in (1, 2, 3))
    if not in_rows:
        accumulated = accumulated.T.contiguous().T
    before = accumulated.clone()
    inputs = Inputs(accumulated, tau, base, replace(CONTEXT, base=base))
    kept = step(inputs).value
    assert isinstance(kept, Tensor)
    assert torch.equal(accumulated, before)
    assert torch.equal(kept, step.method.step(before, tau, inputs.context, **step.params))
    spent = step(inputs._replace(spent=True)).value
    assert isinstance(spent, Tensor)
    assert torch.equal(spent, kept)
    assert (spent.data_ptr() == accumulated.data_ptr()) == in_rows


def test_parts_may_have_any_shape_and_a_report_goes_with_them():
    parts = {"rows": TAU.sum(1), "scale": TAU.sum()}
    step = ParameterStep(Method("parted", lambda merged, tau, ctx: (parts, {"size": 2.0}), ""), {})
    value, square, report = step(Inputs(None, TAU, BASE, CONTEXT))
    assert value == parts and report == {"size": 2.0}
    assert square == pytest.approx(sum(float(part.double().square().sum()) for part in parts.values()))


def test_a_context_tells_of_the_models_before():
    recipe = new_recipe({"w": BASE}, "magmax", {}, reference_compat=True)
    before = Standing(None, 7.0, tuple({"history": {"task_vector_norm": norm}} for norm in (1.0, 2.0)))
    assert context_of(recipe, Standing(), 1) == Context(1, reference_compat=True)
    expected = Context(3, name="w", kind="other", mean_norm=1.5, running_norm=7.0, reference_compat=True)
    assert context_of(recipe, before, 3, name="w", kind="other") == expected
