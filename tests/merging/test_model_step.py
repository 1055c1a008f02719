"""One model's step: a failure at any point of it changes nothing, and the order of looping does not matter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import cmmlib
from cmmlib import ContinualMerger, merge
from cmmlib.merging.accumulated import InMemory
from cmmlib.merging.merged import merged_model
from cmmlib.merging.new_recipe import new_recipe
from cmmlib.merging.parameter_step import Inputs, ParameterStep, context_of
from cmmlib.merging.standing import Standing
from cmmlib.models import open_model

from ..helpers.models import BASE, TASKS, same


@pytest.mark.parametrize("where", ["step", "finish", "summary", "shape", "nan", "save"])
def test_a_failure_at_any_point_changes_nothing(where: str, toy: tuple, tmp_path: Path, monkeypatch):
    base, models = toy
    faulty = False

    def fail(here: str):
        if faulty and where == here:
            raise RuntimeError("on purpose")

    def finish(merged, ctx):
        fail("finish")
        return merged / ctx.t

    def summary(ctx):
        fail("summary")
        return {}

    @cmmlib.method(name="faulty", finish=finish, summary=summary)
    def step(merged, task_vector, ctx):
        fail("step")
        if faulty and where == "shape":
            return task_vector.reshape(-1)[:1]
        return merged + task_vector * (float("nan") if faulty and where == "nan" else 1)

    merger = ContinualMerger(base, "faulty", save_every_step=tmp_path / "steps").add(models[0])
    before, history = merger.merged(), merger.history
    faulty = True
    with monkeypatch.context() as patch, pytest.raises((RuntimeError, ValueError, KeyboardInterrupt)):
        if where == "save":
            patch.setattr("cmmlib.models.saving.Writer", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        merger.add(models[1])
    faulty = False
    assert same(merger.merged(), before) and merger.history.equals(history) and len(merger) == 1
    assert [path.name for path in (tmp_path / "steps").iterdir()] == ["step_01_model_1"]
    expected = merge(base, models, method="faulty")
    assert same(merger.add(models[1]).add(models[2]).merged(), expected)


@pytest.mark.parametrize("reference_compat", [False, True])
@pytest.mark.parametrize("method", ["task_arithmetic", "magmax", "weight_average"])  # of the context they need t alone
def test_parameter_by_parameter_through_all_models_gives_the_same_bits(method: str, reference_compat: bool):
    recipe = new_recipe(BASE, method, {}, reference_compat=reference_compat)
    step, models, accumulated = ParameterStep(recipe.method, recipe.params), list(map(open_model, TASKS)), InMemory()
    for key in reversed(recipe.keys):
        value, (base,) = None, recipe.views(key, recipe.base.read(key))
        for t, model in enumerate(models, 1):
            context = context_of(recipe, Standing(), t, name=key, kind=recipe.kinds[key])
            (new,) = recipe.views(key, model.read(key))
            value = step(Inputs(value, new - base, base, context)).value
        accumulated.put(key, value)
    merger = ContinualMerger(BASE, method, reference_compat=reference_compat)
    for task in TASKS:
        merger.add(task)
    assert same(accumulated, merger.standing.accumulated)
    assert same(merged_model(recipe, replace(merger.standing, accumulated=accumulated)), merger.merged())
