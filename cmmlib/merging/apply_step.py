"""Where steps are applied: on this machine's threads, several parameters at a time, or elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from ..threads import on_threads, side_by_side
from .parameter_step import Inputs, ParameterStep, Step, Stepped
from .recipe import Recipe

Result = TypeVar("Result")


class ApplyStep(Protocol):
    """Applies the step of a layerwise method to one layer, such as `cmmlib.experiments.RayLayers`.

    Attributes:
        at_once: from how many threads it may be called at a time.
    """

    at_once: int

    def __call__(self, step: Step, inputs: Inputs) -> Stepped:
        """``step(inputs)``, computed wherever."""


def step_of(recipe: Recipe, apply: ApplyStep | None) -> Step:
    """The step of a recipe's method, applied where was asked for."""
    step = ParameterStep(recipe.method, recipe.params)
    if apply is None or not recipe.method.layerwise:
        return step
    return lambda inputs, *, measured=True: apply(step, inputs)


def run_walks(
    recipe: Recipe,
    walk: Callable[[str], Result],
    shown: Iterable[str] | None = None,
    apply: ApplyStep | None = None,
    keys: Sequence[str] | None = None,
) -> Iterator[Result]:
    """What a walk gives for every parameter, in order, with as many in flight as memory allows.

    Args:
        shown: the same names once more, as an iterable that shows progress when a result is taken.
        apply: applies a layerwise method's step elsewhere.
        keys: the parameters' names; default: all.
    """
    keys = recipe.keys if keys is None else keys
    size, budget = recipe.working_bytes, recipe.memory
    if apply is not None and recipe.method.layerwise:
        results = on_threads(apply.at_once, walk, keys, size=size, budget=budget)
    elif recipe.device.type == "cpu":
        results = side_by_side(walk, keys, size=size, budget=budget)
    else:
        results = map(walk, keys)
    for _, result in zip(keys if shown is None else shown, results, strict=True):
        yield result
