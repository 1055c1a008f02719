"""What is fixed from the first model of a merge to the last."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..methods import Kind, Method
from ..models.architecture import Architecture, architecture_of
from ..models.content_hash import DIGESTS, content_hash
from ..models.layers import Layer, LayerKind
from ..models.names import is_tower, tower_config
from ..models.source import Model, Source


class Origin(NamedTuple):
    """Where a model can be found again: its absolute path, or its hub id and commit; None for one in memory."""

    source: str | None
    revision: str | None


def origin_of(model: Model, source: Source) -> Origin:
    """The origin of a model that was given as ``model`` and opened as ``source``."""
    if not isinstance(model, str | os.PathLike):
        return Origin(None, None)
    return Origin(str(model) if source.revision else os.path.abspath(model), source.revision)


DEFAULT_MEMORY = 704 << 20
"""Bytes for tensors in flight, where nobody asks for more or less."""

_PASSING = 6
"""How many tensors of a parameter's own size are there while it is merged: the base's, the model's, the task vector, what
is accumulated before and after, and one in between."""


@dataclass(frozen=True)
class Recipe:
    """A method with its hyper-parameters, the base that it starts from, and how to compute.

    Attributes:
        method, params: the method and all its hyper-parameters, resolved.
        base: the pretrained model, W0.
        origin: where it can be found again.
        layers: what every parameter is, by canonical name.
        compute_dtype, device: of the accumulated tensors, and where to compute.
        reference_compat: reproduce the published code where it departs from the paper.
        hash_scheme: how contents are hashed (`cmmlib.models.content_hash`).
        ties_apart: whether tied weights that the base stores twice are two parameters, as in states that cmmlib 0.1 began.
        base_hash: content hash of the base; None until somebody needs it.
        rest_hash: the same of what takes no part in the merge (a whole CLIP model's text tower).
        started_with: what the merge was begun with, where that is on record: versions, threads, hash of the method's code.
        memory: bytes for the tensors of the work in flight (`working_bytes`).
        hashes: whether contents are hashed although the merge is not on record.
    """

    method: Method
    params: Mapping[str, Any]
    base: Source
    origin: Origin
    layers: Mapping[str, Layer]
    compute_dtype: torch.dtype
    device: torch.device
    reference_compat: bool = False
    hash_scheme: str = DIGESTS
    ties_apart: bool = False
    base_hash: str | None = None
    rest_hash: str | None = None
    started_with: Mapping[str, Any] | None = None
    memory: int = DEFAULT_MEMORY
    hashes: bool = False

    @cached_property
    def keys(self) -> list[str]:
        """Canonical names of all parameters, sorted."""
        return sorted(self.base.shapes)

    @cached_property
    def units(self) -> dict[str, list[str]]:
        """Of every parameter that a method sees or that is averaged, what it is accumulated under.

        That is its own name, or for a parameter that holds several layers one name for each.
        """
        units = {}
        for key in self.keys:
            layer = self.layers[key]
            count = len(layer.shapes(self.base.shapes[key])) if layer.divided else 1
            if layer.kind != "fixed":
                units[key] = [f"{key}[{number}]" for number in range(count)] if layer.divided else [key]
        return units

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """The kind of every parameter that a method sees, by canonical name."""
        as_methods_know: dict[LayerKind, Kind] = {
            "linear": "linear",
            "free": "free",
            "other": "other",
            "convolution": "convolution" if self.method.convolutions else "other",
        }
        kinds = {key: as_methods_know.get(self.layers[key].kind) for key in self.keys}
        return {key: kind for key, kind in kinds.items() if kind is not None}

    @property
    def composition(self) -> dict[str, int | float]:
        """What there is of what, in tensors: ``parameters``; ``linear_layers`` that a layerwise method treats as such, and
        the ``linear_share`` of all weights that they hold; ``averaged`` statistics; what is ``carried`` over from the base;
        and what is ``left_out`` of it (a CLIP model's text tower)."""
        sizes = {key: math.prod(self.base.shapes[key]) for key in self.kinds}
        linear = [key for key, kind in self.kinds.items() if kind in ("linear", "convolution")]
        carried, rest = self.base.carried, self.base.rest
        return {
            "parameters": len(sizes),
            "linear_layers": sum(len(self.units[key]) for key in linear),
            "linear_share": sum(sizes[key] for key in linear) / max(1, sum(sizes.values())),
            "averaged": sum(layer.kind == "statistic" for layer in self.layers.values()),
            "carried": len(self.layers) - len(self.units) + (len(carried.names) if carried is not None else 0),
            "left_out": len(rest.names) if rest is not None else 0,
        }

    @cached_property
    def architecture(self) -> Architecture | None:
        """The base's architecture, where its module or its configuration tells it; transformers may build it."""
        return architecture_of(self.base)

    @property
    def recorded(self) -> bool:
        """Whether the merge outlives its process, so that the base is held against its hash whenever it is read."""
        return self.started_with is not None

    def working_bytes(self, key: str) -> int:
        """What merging one parameter takes, at most: its tensors, and the method's workspace for its largest layer."""
        item, shape = self.compute_dtype.itemsize, self.base.shapes[key]
        layerwise = self.method.layerwise and self.layers[key].kind in ("linear", "convolution")
        largest = max(map(math.prod, self.layers[key].shapes(shape)), default=0) if layerwise else 0
        return int(item * (_PASSING * math.prod(shape) + self.method.workspace * largest))

    @property
    def hashing(self) -> bool:
        """Whether the models' contents are hashed."""
        return self.recorded or self.hashes

    @property
    def accumulated_bytes(self) -> int:
        """What accumulated tensors take, one per parameter."""
        return sum(math.prod(shape) for shape in self.base.shapes.values()) * self.compute_dtype.itemsize

    @property
    def config(self) -> dict[str, Any] | None:
        """The ``config.json`` of the merged model, where the base has one; of a CLIP model the vision tower's."""
        config = self.base.config
        return tower_config(config) if config is not None and is_tower(self.base.shapes) else config

    def computed(self, tensor: Tensor) -> Tensor:
        """A stored tensor on the device, in the dtype of the computation."""
        return tensor.to(self.device, self.compute_dtype)

    def views(self, key: str, tensor: Tensor) -> list[Tensor]:
        """A stored tensor as methods see it: `computed`, one tensor for each of `units`, linear weights as (out, in)."""
        return self.layers[key].views(self.computed(tensor))

    def joined(self, key: str, views: Sequence[Tensor]) -> Tensor:
        """The tensor in the shape in which it is stored, out of its `views`."""
        return self.layers[key].joined(views, self.base.shapes[key])

    def wrong_base(self, difference: str) -> ValueError:
        """The error to raise where the base is not the one that the merge was started from."""
        return ValueError(
            f"{self.base.label} is not the base that this state was started from ({difference}; recorded hash "
            f"{str(self.base_hash)[:16]}…): give the original, with --base if it has moved"
        )


def hashed(recipe: Recipe, *, rest: bool = False) -> Recipe:
    """The recipe with the base's content hash, taken if it has not been yet; with ``rest`` that of the rest as well."""
    base = recipe.base
    if recipe.base_hash is None:
        recipe = replace(recipe, base_hash=content_hash(base, recipe.hash_scheme))
    if rest and recipe.rest_hash is None and base.rest is not None:
        recipe = replace(recipe, rest_hash=content_hash(base.rest, recipe.hash_scheme))
    return recipe
