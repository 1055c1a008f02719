"""A model that arrives: opened, matched with the base, and refused before anything is changed."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import NamedTuple

from ..models.architecture import Architecture
from ..models.opening import open_model
from ..models.source import Model, Source
from .aside import Aside
from .matching import matched
from .recipe import Origin, Recipe, origin_of
from .standing import Standing

IMPLAUSIBLE = 0.5
"""‖τ‖/‖W0‖ above which a model is probably not fine-tuned from the base: fine-tuned CLIP towers are near 0.03, two
models trained apart near 1.4."""


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
    """What reading a model tells.

    Attributes:
        norm, base_norm: ‖τ‖ and ‖W0‖ over all parameters.
        content_hash: of the model, where contents are hashed.
        aside: what else the model has.
    """

    norm: float
    base_norm: float
    content_hash: str | None
    aside: Aside = Aside()


def require_new(source: Source, examined: Examined, standing: Standing) -> None:
    """Raises ValueError for a model whose content is among those merged before."""
    for number, model in enumerate(standing.models, 1):
        if examined.content_hash is not None and model["hash"] == examined.content_hash:
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
