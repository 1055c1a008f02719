"""One model's step: every parameter's, in turn, and what stands afterwards."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from torch import Tensor

from ..methods import Value
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
    for key, (value, report) in zip(recipe.keys, apply(step, inputs), strict=True):
        reports += [report] if report else []
        squares += [square(tensor) for tensor in tensors_of(value)]
        draft.put(key, value)
    model = {
        "name": arrival.name,
        "source": arrival.origin.source,
        "revision": arrival.origin.revision,
        "hash": examined.content_hash,
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
        old, new = (recipe.view(key, read(model, key)) for model in (base, source))
        context = context_of(recipe, standing, t, name=key, kind=recipe.kinds[key], survey=survey)
        yield Inputs(accumulated_of(recipe, standing, key), old, new, context)


class TaskVectorPairs:
    """(accumulated tensor, task vector) of every parameter, for a survey; each iteration reads the model again."""

    def __init__(self, recipe: Recipe, standing: Standing, source: Source, read: TimedReading):
        self.recipe, self.standing, self.source, self.read = recipe, standing, source, read

    def __iter__(self) -> Iterator[tuple[Value, Tensor]]:
        recipe = self.recipe
        for key in recipe.keys:
            new, old = (recipe.view(key, self.read(model, key)) for model in (self.source, recipe.base))
            tau = new - old
            accumulated = accumulated_of(recipe, self.standing, key)
            yield (tau.new_zeros(tau.shape) if accumulated is None else accumulated), tau


def _merged_norm(recipe: Recipe, new: Standing, each: Each) -> float:
    """‖merged − W0‖ over all parameters."""
    if not recipe.method.finish:
        return new.norm
    return math.sqrt(math.fsum(square(merged_task_vector(recipe, new, key)) for key in each("scaling")))


def _summary(recipe: Recipe, new: Standing) -> dict[str, float]:
    if not recipe.method.summary:
        return {}
    return dict(recipe.method.summary(context_of(recipe, new, len(new.models)), **recipe.params))
