"""What stands when all parameters have walked through the models that arrive."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from torch import Tensor

from ..methods import Value
from ..models.source import Source
from .accumulated import Draft
from .apply_step import ApplyStep, run_walks, step_of
from .arrival import Arrival, Examined
from .gathered import Gathered
from .history import over_layers, without_nan
from .merged import merged_norm, scale_of
from .parameter_step import context_of, in_blocks
from .progress import Each
from .recipe import Recipe
from .standing import Standing
from .walk import Walked

Result = TypeVar("Result")


def merge_model(
    recipe: Recipe, standing: Standing, arrival: Arrival, draft: Draft, *, apply: ApplyStep | None = None, each: Each
) -> tuple[Recipe, Standing, Examined]:
    """Merge one model into what stands.

    Args:
        draft: takes the new accumulated tensors, one parameter at a time.
        apply: applies a layerwise method's step elsewhere.
        each: the parameters' names.

    Returns:
        The recipe with what the model has shown of the base, what stands now, and what was seen of the model.

    Raises:
        ValueError: NaN or infinity, a model equal to the base, or another base than the recorded one.
    """
    survey, examined = None, None
    if recipe.method.survey:
        pairs = TaskVectorPairs(recipe, standing, arrival.source, each)
        survey = recipe.method.survey(pairs, context_of(recipe, standing, len(standing.models) + 1), **recipe.params)
        recipe, examined = pairs.recipe, pairs.examined
    gathered = Gathered(recipe, [arrival.source], hashing=recipe.hashing and examined is None)
    walk = gathered.walk(standing, step=step_of(recipe, apply), survey=survey)
    for walked in run_walks(recipe, walk, each("merging"), apply):
        gathered.take(walked)
        for unit, value in walked.values.items():
            draft.put(unit, value)
    recipe, examined = gathered.recipe(), examined or gathered.examined(0)
    new = following(recipe, replace(standing, accumulated=draft), arrival, examined, gathered, 0)
    if recipe.method.finish and not recipe.method.scales:
        new = _with_merged_norm(new, merged_norm(recipe, new, each("scaling")))
    return recipe, new, examined


def following(
    recipe: Recipe, standing: Standing, arrival: Arrival, examined: Examined, gathered: Gathered, number: int
) -> Standing:
    """What stands after one more model; the accumulated tensors stay those that they are.

    Args:
        number: of the model among those that were gathered.
    """
    model: dict[str, Any] = {
        "name": arrival.name,
        "source": arrival.origin.source,
        "revision": arrival.origin.revision,
        "hash": examined.content_hash,
        "left_out": examined.aside.left_out,
        "aside": [sentence for _, sentence in examined.aside.said],
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "history": {"task_vector_norm": examined.norm},
    }
    new = Standing(standing.accumulated, gathered.merged_norm(number), (*standing.models, model))
    row: dict[str, float] = {"merged_norm": _norm_by_scale(recipe, new)}
    row |= gathered.seconds(number)
    if recipe.method.summary:
        row |= recipe.method.summary(context_of(recipe, new, len(new.models)), **recipe.params)
    row |= over_layers(gathered.reports(number))
    history = {"task_vector_norm": examined.norm} | without_nan(row)
    return replace(new, models=(*standing.models, model | {"history": history}))


def _norm_by_scale(recipe: Recipe, new: Standing) -> float:
    """‖merged − W0‖ of what stands, where that takes no pass over the tensors; else NaN."""
    if not recipe.method.finish:
        return new.norm
    return abs(scale_of(recipe, new)) * new.norm if recipe.method.scales else math.nan


def _with_merged_norm(standing: Standing, norm: float | None) -> Standing:
    *before, last = standing.models
    return replace(standing, models=(*before, last | {"history": last["history"] | {"merged_norm": norm}}))


class TaskVectorPairs:
    """(accumulated tensor, task vector) of every parameter, for a survey; each iteration reads the model again.

    The first that is made to its end checks the model as well.

    Attributes:
        entries: how many there are, of all parameters together.
        recipe: with what the model has shown of the base.
        examined: what was seen of the model; None before it has been checked.
    """

    def __init__(self, recipe: Recipe, standing: Standing, source: Source, each: Each):
        self.recipe, self._standing, self._source, self._each = recipe, standing, source, each
        self.examined: Examined | None = None

    @property
    def entries(self) -> int:
        return sum(math.prod(self.recipe.base.shapes[key]) for key in self.recipe.kinds)

    def __iter__(self) -> Iterator[tuple[Value, Tensor]]:
        return self.map(lambda merged, task_vector: (merged, task_vector))

    def map(self, function: Callable[[Value, Tensor], Result]) -> Iterator[Result]:
        """``function(accumulated, task_vector)`` of every parameter, in order, several side by side.

        To an elementwise method a parameter may come in pieces.

        Raises:
            ValueError: the model is refused; from the first iteration.
        """

        def look(accumulated: Value, tau: Tensor) -> list[Result]:
            return [function(*piece) for piece in self._pieces(accumulated, tau)]

        recipe, unchecked = self.recipe, self.examined is None
        gathered = Gathered(recipe, [self._source], hashing=unchecked and recipe.hashing)
        walk = gathered.walk(self._standing, look=look)
        keys, shown = (recipe.keys, self._each("checking")) if unchecked else (list(recipe.kinds), None)

        def compact(key: str) -> Walked:
            # copies, where the large tensors were: what was made beside those would keep the memory around it from use
            walked = walk(key)._replace(base=None)
            return walked._replace(looked=deepcopy(walked.looked))

        for walked in run_walks(recipe, compact, shown, keys=keys):
            gathered.take(walked)
            yield from walked.looked
        if unchecked:
            self.recipe, self.examined = gathered.recipe(), gathered.examined(0)

    def _pieces(self, accumulated: Value, tau: Tensor) -> Iterable[tuple[Value, Tensor]]:
        if not self.recipe.method.elementwise or isinstance(accumulated, dict):
            return [(accumulated, tau)]
        return zip(in_blocks(accumulated), in_blocks(tau), strict=True)
