"""A model that arrives: opened, matched with the base, read once, and refused before anything is changed."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..models.architecture import Architecture
from ..models.content_hash import ContentHash
from ..models.layers import Layer
from ..models.opening import open_model
from ..models.source import Model, Source
from .aside import Aside, aside_of
from .matching import matched
from .parameter_step import square
from .recipe import Origin, Recipe, origin_of
from .standing import Standing

IMPLAUSIBLE = 0.5
"""‖τ‖/‖W0‖ above which a model is probably not fine-tuned from the base: fine-tuned CLIP towers are near 0.03, two
models trained apart near 1.4."""

Read = Callable[[Source, str], Tensor]


class TimedReading:
    """Reads stored tensors, and adds up the ``seconds`` that it takes."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, source: Source, key: str) -> Tensor:
        start = time.perf_counter()
        tensor = source.read(key)
        self.seconds += time.perf_counter() - start
        return tensor


class Arrival(NamedTuple):
    """A model that may be merged.

    Attributes:
        name: what the history calls it.
        origin: where it can be found again.
        source: its parameters, which are the base's.
        stamp: of its files and the base's, before they were read.
    """

    name: str
    origin: Origin
    source: Source
    stamp: list[tuple[int, int, int]]

    def require_unchanged(self, base: Source) -> None:
        """Raises ValueError if one of the files has changed since."""
        if self.stamp != [*self.source.stamp(), *base.stamp()]:
            raise ValueError(f"{self.source.label} or {base.label} changed while it was read; nothing was merged")


def arrive(recipe: Recipe, model: Model, name: str | None, number: int, revision: str | None = None) -> Arrival:
    """Open a model, without reading its tensors.

    Args:
        name: what the history is to call it; default: by its path, else ``model_<number>``.
        number: 1 for the first.
        revision: commit, branch or tag of a hub id.

    Raises:
        FileNotFoundError: no such model.
        ValueError: missing, extra or misshapen tensors, integer weights.
    """

    def architecture() -> Architecture | None:
        return recipe.architecture

    role = f"model {number}"
    source = open_model(model, role=role, revision=revision, base=recipe.base, architecture=architecture)
    origin = origin_of(model, source)
    source = matched(recipe.base, source, architecture)
    name = name or _file_name(model) or f"model_{number}"
    return Arrival(name, origin, source, [*source.stamp(), *recipe.base.stamp()])


def _file_name(model: Model) -> str:
    """The name of a model given by path or hub id: of its folder, or its file without the ending; else nothing."""
    if not isinstance(model, str | os.PathLike):
        return ""
    path = Path(model)
    stem = path.name.removesuffix(".safetensors").removesuffix(".bin")
    return path.absolute().parent.name if stem != path.name and stem in ("model", "pytorch_model") else stem


class Examined(NamedTuple):
    """What one pass over a model tells.

    Attributes:
        norm, base_norm: ‖τ‖ and ‖W0‖ over all parameters.
        content_hash, base_hash: of the model, and of the base where it was taken.
        fixed: what the base holds infinite values in (masks), and the model the same.
        aside: what else the model has.
    """

    norm: float
    base_norm: float
    content_hash: str
    base_hash: str | None
    fixed: frozenset[str] = frozenset()
    aside: Aside = Aside()


def examine(recipe: Recipe, source: Source, read: Read, keys: Iterable[str]) -> Examined:
    """Read model and base once, tensor by tensor; the base is hashed where its hash is not known or has to be verified.

    Args:
        keys: the canonical names, sorted.

    Raises:
        ValueError: NaN or infinity, a model equal to the base, or another base than the recorded one.
    """
    base = recipe.base
    hash_base = recipe.base_hash is None or recipe.recorded
    squares, base_squares = [0.0], [0.0]
    model_hash, base_hash = ContentHash(recipe.hash_scheme), ContentHash(recipe.hash_scheme)
    fixed, averaged = set(), set()
    for key in keys:
        old, new = read(base, key), read(source, key)
        model_hash.update(key, new)
        if hash_base:
            base_hash.update(key, old)
        w0 = recipe.computed(old)
        difference = square(recipe.computed(new) - w0)
        if not math.isfinite(difference):
            if not old.isinf().any() or not torch.equal(old, new):
                guilty = source if not torch.isfinite(new).all() else base
                raise ValueError(f"{guilty.label}: {guilty.names[key]!r} holds NaN or infinity; the checkpoint is broken")
            fixed.add(key)
        elif recipe.layers[key].kind == "statistic":
            averaged |= {key} if difference else set()
        else:
            squares.append(difference)
            base_squares.append(square(w0))
    norm = math.sqrt(math.fsum(squares))
    if norm == 0:
        raise ValueError(f"{source.label} equals the base {base.label.removeprefix('base ')}: there is nothing to merge")
    found = base_hash.hexdigest() if hash_base else None
    if recipe.base_hash is not None and found not in (None, recipe.base_hash):
        raise recipe.wrong_base("another content")
    content = source.identity(recipe.hash_scheme) if source.identity else model_hash.hexdigest()
    aside = aside_of(base, source, averaged)
    return Examined(norm, math.sqrt(math.fsum(base_squares)), content, found, frozenset(fixed), aside)


def with_examined(recipe: Recipe, examined: Examined) -> Recipe:
    """The recipe with what the first examination has found: the base's hash, and what stays as it is in the base."""
    if recipe.base_hash is None:
        recipe = replace(recipe, base_hash=examined.base_hash)
    found = {key for key in examined.fixed if recipe.layers[key].kind != "fixed"}
    return replace(recipe, layers={**recipe.layers, **dict.fromkeys(found, Layer("fixed"))}) if found else recipe


def require_new(source: Source, examined: Examined, standing: Standing) -> None:
    """Raises ValueError for a model whose content is among those merged before."""
    for number, model in enumerate(standing.models, 1):
        if model["hash"] == examined.content_hash:
            raise ValueError(
                f"{source.label} has been merged before, as model {number}, {model['name']!r} (the same content); "
                "allow_repeat=True, or --allow-repeat, merges it once more"
            )


def warn_if_implausible(source: Source, base: Source, examined: Examined) -> None:
    """Warns of a task vector too large for a fine-tuned model; called by what the user calls."""
    ratio = examined.norm / examined.base_norm if examined.base_norm else 0.0
    if ratio > IMPLAUSIBLE:
        warnings.warn(
            f"{source.label}: implausibly far from {base.label} for a model fine-tuned from it: ‖τ‖ = {examined.norm:.4g}, "
            f"‖W0‖ = {examined.base_norm:.4g}, ratio {ratio:.2f} (a few per cent are usual); is it a model of another base?",
            stacklevel=3,
        )
