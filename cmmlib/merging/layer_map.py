"""How one step is applied to all parameters of a model: one after the other, side by side, or on other machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from ..methods import Value
from ..threads import side_by_side
from .parameter_step import Inputs, Report
from .recipe import Recipe

LayerMap = Callable[[Callable[[Inputs], tuple[Value, Report]], Iterable[Inputs]], Iterator[tuple[Value, Report]]]
"""Applies a step to all parameters as ``map`` does: results in order, inputs drawn a few ahead at most."""


def layer_map_of(recipe: Recipe, asked: LayerMap | None, at_once: int | None) -> LayerMap:
    """A layerwise method's steps as was asked for, or side by side on the CPU's threads; any other's one after the other.

    Args:
        at_once: how many layers may be in memory side by side; None for as many as there are threads.
    """
    if not recipe.method.layerwise:
        return map
    if asked is not None:
        return asked
    return partial(side_by_side, at_most=at_once) if recipe.device.type == "cpu" else map
