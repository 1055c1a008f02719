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

from ..methods import Kind, Method, get_method
from ..models.architecture import layer_kinds
from ..models.content_hash import content_hash
from ..models.opening import open_model
from ..models.source import Model, Source, require_floats


class Origin(NamedTuple):
    """Where a model can be found again: its absolute path, or its hub id and commit; None for one in memory."""

    source: str | None
    revision: str | None


def origin_of(model: Model, source: Source) -> Origin:
    """The origin of a model that was given as ``model`` and opened as ``source``."""
    if not isinstance(model, str | os.PathLike):
        return Origin(None, None)
    return Origin(str(model) if source.revision else os.path.abspath(model), source.revision)


@dataclass(frozen=True)
class Recipe:
    """A method with its hyper-parameters, the base that it starts from, and how to compute.

    Attributes:
        method, params: the method and all its hyper-parameters, resolved.
        base: the pretrained model, W0.
        origin: where it can be found again.
        kinds: kind of every parameter, by canonical name.
        transposed: linear weights that are stored as (in, out); methods see them as (out, in).
        compute_dtype, device: of the accumulated tensors, and where to compute.
        reference_compat: reproduce the published code where it departs from the paper.
        base_hash: content hash of the base; None until somebody needs it.
        rest_hash: the same of what takes no part in the merge (a whole CLIP model's text tower).
        started_with: what the merge was begun with, where that is on record: versions, threads, hash of the method's code.
    """

    method: Method
    params: Mapping[str, Any]
    base: Source
    origin: Origin
    kinds: Mapping[str, Kind]
    transposed: frozenset[str]
    compute_dtype: torch.dtype
    device: torch.device
    reference_compat: bool = False
    base_hash: str | None = None
    rest_hash: str | None = None
    started_with: Mapping[str, Any] | None = None

    @cached_property
    def keys(self) -> list[str]:
        """Canonical names of all parameters, sorted."""
        return sorted(self.base.shapes)

    @property
    def recorded(self) -> bool:
        """Whether the merge outlives its process, so that the base is held against its hash whenever it is read."""
        return self.started_with is not None

    @property
    def accumulated_bytes(self) -> int:
        """What accumulated tensors take, one per parameter."""
        return sum(math.prod(shape) for shape in self.base.shapes.values()) * self.compute_dtype.itemsize

    @property
    def config(self) -> dict[str, Any] | None:
        """The ``config.json`` of the merged model, where the base has one; of a CLIP model the vision tower's."""
        config = self.base.config
        if config and config.get("model_type") == "clip":
            config = {**config["vision_config"], "model_type": "clip_vision_model", "architectures": ["CLIPVisionModel"]}
        return config

    def computed(self, tensor: Tensor) -> Tensor:
        """A stored tensor on the device, in the dtype of the computation."""
        return tensor.to(self.device, self.compute_dtype)

    def view(self, key: str, tensor: Tensor) -> Tensor:
        """A stored tensor as methods see it: `computed`, and linear weights as (out, in)."""
        return self.turned(key, self.computed(tensor))

    def turned(self, key: str, tensor: Tensor) -> Tensor:
        """From the method's view of a parameter's shape to the stored one, and back."""
        return tensor.T if key in self.transposed else tensor

    def wrong_base(self, difference: str) -> ValueError:
        """The error to raise where the base is not the one that the merge was started from."""
        return ValueError(
            f"{self.base.label} is not the base that this state was started from ({difference}; recorded hash "
            f"{str(self.base_hash)[:16]}…): give the original, with --base if it has moved"
        )


def new_recipe(
    base: Model,
    method: str,
    params: Mapping[str, Any],
    *,
    compute_dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
    reference_compat: bool = False,
    linear: Sequence[str] | None = None,
    revision: str | None = None,
) -> Recipe:
    """The recipe of a merge that begins; see `cmmlib.ContinualMerger` for arguments and errors."""
    found = get_method(method)
    resolved = found.resolve(params)
    place = computing_device(device)
    if compute_dtype not in (None, torch.float32, torch.float64):
        raise ValueError(f"compute_dtype: expected torch.float32 or torch.float64, got {compute_dtype}")
    source = open_base(base, revision)
    widest = max(source.dtypes.values(), key=lambda d: d.itemsize)
    kinds: Mapping[str, Kind] = dict.fromkeys(source.shapes, "other")
    transposed: frozenset[str] = frozenset()
    if found.layerwise or linear is not None:
        kinds, transposed = layer_kinds(source, linear)
    if found.check:
        found.check(resolved, kinds)
    dtype = compute_dtype or torch.promote_types(widest, torch.float32)
    return Recipe(found, resolved, source, origin_of(base, source), kinds, transposed, dtype, place, bool(reference_compat))


def open_base(base: Model, revision: str | None = None) -> Source:
    """Open a base.

    Raises:
        ValueError: it has no parameters, or integer ones.
        FileNotFoundError: no such base.
    """
    source = open_model(base, role="base", revision=revision)
    if not source.shapes:
        raise ValueError(f"{source.label} holds no parameters")
    require_floats(source)
    return source


def computing_device(device: str | torch.device | None) -> torch.device:
    """Where to compute; None for the CPU.

    Raises:
        ValueError: a device without float64.
    """
    place = torch.device(device or "cpu")
    if place.type == "mps":
        raise ValueError("device: MPS has no float64, which the factorisations need; merge on the CPU (device=None)")
    return place


def hashed(recipe: Recipe, *, rest: bool = False) -> Recipe:
    """The recipe with the base's content hash, taken if it has not been yet; with ``rest`` that of the rest as well."""
    base = recipe.base
    if recipe.base_hash is None:
        recipe = replace(recipe, base_hash=content_hash(base))
    if rest and recipe.rest_hash is None and base.rest is not None:
        recipe = replace(recipe, rest_hash=content_hash(base.rest))
    return recipe
