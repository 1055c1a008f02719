"""What a model has beside the weights that are merged: averaged, kept from the base or left out, and never silently."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import NamedTuple

import torch

from ..models.settings import differing_classes, differing_settings
from ..models.source import Source
from .parameter_step import square


class Aside(NamedTuple):
    """What is said of it.

    Attributes:
        said: sort and sentence.
        left_out: how many of the model's tensors take no part in the merged model.
    """

    said: tuple[tuple[str, str], ...] = ()
    left_out: int = 0


def aside_of(base: Source, source: Source, averaged: Iterable[str]) -> Aside:
    """What a model has beside its weights.

    Args:
        averaged: the statistics of BatchNorm that differ from the base's.
    """
    said = {}
    if averaged := sorted(averaged):
        said["averaged"] = (
            f"statistics of BatchNorm ({_some(averaged)}) are averaged over the models, and counts of batches stay the "
            "base's; recompute both on data of the tasks, if there is any"
        )
    differing, unknown = _carried(base, source)
    if differing:
        said["carried"] = f"counters, masks or indices that differ from the base's ({_some(differing)}) stay the base's"
    if unknown:
        said["unknown"] = f"buffers that the base has not ({_some(unknown)}) are left out"
    lost = 0
    if source.rest is not None and base.rest is None:
        lost = len(source.rest.names)
        said["rest"] = f"of a whole CLIP model only the vision tower is merged; {lost} other tensors are left out"
    elif source.rest is not None and base.rest is not None and (changed := _changed(base.rest, source.rest)):
        lost = len(changed)
        said["rest"] = _of_tuned(changed)
    ours, theirs = base.config, source.config
    if settings := differing_settings(ours, theirs):
        more = f" and {len(settings) - 3} more" if len(settings) > 3 else ""
        said["settings"] = (
            f"its config.json sets {', '.join(settings[:3])}{more}, and the merged model has the base's; weights that were "
            "trained with other settings hardly fit"
        )
    if classes := differing_classes(ours, theirs):
        said["classes"] = classes
    return Aside(tuple(said.items()), len(differing) + len(unknown) + lost)


def warn_of(source: Source, aside: Aside, once: set[str]) -> None:
    """Warns of all that is not merged as a weight; called by what the user calls.

    Args:
        once: what has been said of an earlier model and holds for all; it grows.
    """
    for sort, what in aside.said:
        if sort not in once:
            warnings.warn(f"{source.label}: {what}", stacklevel=3)
        if sort == "averaged":
            once.add(sort)


def _some(names: Iterable[str]) -> str:
    first, *others = sorted(names)
    return f"{first!r}" + (f" and {len(others)} more" if others else "")


def _carried(base: Source, source: Source) -> tuple[list[str], list[str]]:
    """Which of the tensors that are no weights differ from the base's, and which the base has not."""
    ours, theirs = base.carried, source.carried
    if theirs is None:
        return [], []
    # position_ids count from 0 in every model
    unknown = [n for n in theirs.names if (ours is None or n not in ours.names) and not n.endswith("position_ids")]
    if ours is None:
        return [], unknown
    shared = [name for name in theirs.names if name in ours.names and not name.endswith("num_batches_tracked")]
    return [name for name in shared if not torch.equal(ours.read(name), theirs.read(name))], unknown


def _changed(ours: Source, theirs: Source) -> dict[str, float]:
    """Name of every tensor that differs → the square of the difference; infinite where the base has none of that shape."""
    comparable = {name for name in theirs.names if ours.shapes.get(name) == theirs.shapes[name]}
    squares = {
        name: square(theirs.read(name).double() - ours.read(name).double()) if name in comparable else math.inf
        for name in theirs.names
    }
    return {name: value for name, value in squares.items() if value}


def _of_tuned(changed: dict[str, float]) -> str:
    norm = math.sqrt(math.fsum(value for value in changed.values() if math.isfinite(value)))
    return (
        f"its text tower or projections differ from the base's ({_some(changed)}; norm of the difference {norm:.4g}) and "
        "are left out: only the vision tower is merged, and an export with whole=True (--whole) has the base's text tower"
    )
