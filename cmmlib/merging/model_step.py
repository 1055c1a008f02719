"""One model's step: every parameter's, in turn, and what stands afterwards."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

import torch
from torch import Tensor

from ..methods import Context, Value
from ..methods.weight_average import weight_average
from ..models.source import Source
from .accumulated import Draft, tensors_of
from .arrival import Arrival, Examined, TimedReading
from .history import over_layers, without_nan
from .layer_map import LayerMap
from .merged import merged_task_vector
from .parameter_step import Inputs, ParameterStep, Report, accumulated_of, context_of, square
from .progress import Each
from .recipe import Recipe
from .standing import Standing


class Started(NamedTuple):
    """When a model's merging began, and who reads for it."""

    at: float  # by time.perf_counter
    read: TimedReading


def merge_model(
    recipe: Recipe,
    standing: Standing,
    arrival: Arrival,
    examined: Examined,
    draft: Draft,
    *,
    started: Started,
    apply: LayerMap,
    each: Each,
) -> Standing:
    """What stands when the model has been merged into what stood; its accumulated tensors are in ``draft``.

    Args:
        draft: takes the new accumulated tensors, one parameter at a time.
        started: for the times in the history.
        apply: applies a step to all parameters (`LayerMap`).
        each: the parameters' names.
    """
    step = ParameterStep(recipe.method, recipe.params)
    reports: list[Report] = []
    squares: list[float] = []
    inputs = _inputs(recipe, standing, arrival.source, started.read, each)
    units = (unit for key, units in recipe.units.items() if key in recipe.kinds for unit in units)
    for unit, (value, report) in zip(units, apply(step, inputs), strict=True):
        reports += [report] if report else []
        squares += [square(tensor) for tensor in tensors_of(value)]
        draft.put(unit, value)
    for unit, value in _averaged(recipe, standing, arrival.source, started.read):
        draft.put(unit, value)
    model = {
        "name": arrival.name,
        "source": arrival.origin.source,
        "revision": arrival.origin.revision,
        "hash": examined.content_hash,
        "left_out": examined.aside.left_out,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "history": {"task_vector_norm": examined.norm},
    }
    new = Standing(draft, math.sqrt(math.fsum(squares)), (*standing.models, model))
    row = {
        "merged_norm": _merged_norm(recipe, new, each),
        "read_seconds": started.read.seconds,
        "merge_seconds": time.perf_counter() - started.at - started.read.seconds,
        **_summary(recipe, new),
        **over_layers(reports),
    }
    history = {"task_vector_norm": examined.norm} | without_nan(row)
    return replace(new, models=(*standing.models, model | {"history": history}))


def _inputs(recipe: Recipe, standing: Standing, source: Source, read: TimedReading, each: Each) -> Iterator[Inputs]:
    """What the step of every parameter is made of; first the survey of the whole model, if the method makes one."""
    base, t = recipe.base, len(standing.models) + 1
    survey = None
    if recipe.method.survey:
        pairs = TaskVectorPairs(recipe, standing, source, read)
        survey = recipe.method.survey(pairs, context_of(recipe, standing, t), **recipe.params)
    for key in each("merging"):
        if key not in recipe.kinds:
            continue
        views = (recipe.views(key, read(model, key)) for model in (base, source))
        for unit, old, new in zip(recipe.units[key], *views, strict=True):
            context = context_of(recipe, standing, t, name=unit, kind=recipe.kinds[key], survey=survey)
            yield Inputs(accumulated_of(recipe, standing, unit), old, new, context)


def _averaged(recipe: Recipe, standing: Standing, source: Source, read: TimedReading) -> Iterator[tuple[str, Tensor]]:
    """The statistics of BatchNorm, which are averaged whatever the method."""
    context = Context(len(standing.models) + 1)
    for key in (key for key in recipe.units if key not in recipe.kinds):  # in the order of the keys, as all else
        old, new = (recipe.computed(read(model, key)) for model in (recipe.base, source))
        accumulated = accumulated_of(recipe, standing, key)
        assert accumulated is None or isinstance(accumulated, Tensor)
        yield key, weight_average(torch.zeros_like(old) if accumulated is None else accumulated, new - old, context)


class TaskVectorPairs:
    """(accumulated tensor, task vector) of every parameter, for a survey; each iteration reads the model again."""

    def __init__(self, recipe: Recipe, standing: Standing, source: Source, read: TimedReading):
        self.recipe, self.standing, self.source, self.read = recipe, standing, source, read

    def __iter__(self) -> Iterator[tuple[Value, Tensor]]:
        recipe = self.recipe
        for key in recipe.kinds:
            views = (recipe.views(key, self.read(model, key)) for model in (self.source, recipe.base))
            for unit, new, old in zip(recipe.units[key], *views, strict=True):
                tau = new - old
                accumulated = accumulated_of(recipe, self.standing, unit)
                yield (tau.new_zeros(tau.shape) if accumulated is None else accumulated), tau


def _merged_norm(recipe: Recipe, new: Standing, each: Each) -> float:
    """‖merged − W0‖ over all parameters."""
    if not recipe.method.finish:
        return new.norm
    return math.sqrt(
        math.fsum(square(merged_task_vector(recipe, new, key)) for key in each("scaling") if key in recipe.kinds)
    )


def _summary(recipe: Recipe, new: Standing) -> dict[str, float]:
    if not recipe.method.summary:
        return {}
    return dict(recipe.method.summary(context_of(recipe, new, len(new.models)), **recipe.params))
