"""The recipe of a merge that begins: what the user gives, checked, and the base, opened."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..methods import get_method
from ..models.architecture import Architecture, architecture_of
from ..models.opening import open_model
from ..models.source import Model, Source, require_floats
from ..models.stored_layers import layers_of, statistics_of
from ..models.ties import with_ties
from .recipe import DEFAULT_MEMORY, Recipe, origin_of


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
    memory: int | None = None,
    hashes: bool = False,
) -> Recipe:
    """The recipe of a merge that begins; see `cmmlib.ContinualMerger` for arguments and errors."""
    found = get_method(method)
    resolved = found.resolve(params)
    place = computing_device(device)
    if compute_dtype not in (None, torch.float32, torch.float64):
        raise ValueError(f"compute_dtype: expected torch.float32 or torch.float64, got {compute_dtype}")
    budget = memory_budget(memory)
    source = open_base(base, revision)
    widest = max(source.dtypes.values(), key=lambda d: d.itemsize)
    layers = statistics_of(source)
    if found.layerwise or linear is not None:
        layers = layers_of(source, _architecture(source, linear), linear)
    dtype = compute_dtype or torch.promote_types(widest, torch.float32)
    recipe = Recipe(
        found,
        resolved,
        source,
        origin_of(base, source),
        layers,
        dtype,
        place,
        bool(reference_compat),
        memory=budget,
        hashes=hashes,
    )
    if found.check:
        found.check(resolved, recipe.kinds)
    return recipe


def _architecture(base: Source, linear: Sequence[str] | None) -> Architecture | None:
    """The base's architecture; with patterns it only says how layers are stored, and need not be known."""
    try:
        return architecture_of(base)
    except ValueError:
        if linear is None:
            raise
        return None


def open_base(base: Model, revision: str | None = None, *, apart: bool = False) -> Source:
    """Open a base.

    Args:
        apart: leave tied weights that are stored twice apart.

    Raises:
        ValueError: it has no parameters, or integer ones.
        FileNotFoundError: no such base.
    """
    source = open_model(base, role="base", revision=revision)
    require_floats(source)
    if not source.shapes:
        raise ValueError(f"{source.label} holds no parameters")
    return source if apart else with_ties(source)


def computing_device(device: str | torch.device | None) -> torch.device:
    """Where to compute; None for the CPU.

    Raises:
        ValueError: a device without float64.
    """
    place = torch.device(device or "cpu")
    if place.type == "mps":
        raise ValueError("device: MPS has no float64, which the factorisations need; merge on the CPU (device=None)")
    return place


def memory_budget(memory: int | None) -> int:
    """Bytes for tensors in flight; None for `DEFAULT_MEMORY`.

    Raises:
        ValueError: no number of bytes.
    """
    if memory is None:
        return DEFAULT_MEMORY
    if isinstance(memory, bool) or not isinstance(memory, int) or memory < 1:
        raise ValueError(f"memory: expected a number of bytes, at least 1, got {memory!r}")
    return memory


def warn_if_larger_than_memory(recipe: Recipe) -> None:
    """Warns of layers that need more than the budget by themselves; called by what the user calls."""
    key = max(recipe.keys, key=recipe.working_bytes)
    needed = recipe.working_bytes(key)
    if needed > recipe.memory and recipe.method.layerwise:
        warnings.warn(
            f"{recipe.base.label}: method {recipe.method.name!r} may take {needed >> 20} MiB for {key!r} alone, more than "
            f"memory={recipe.memory >> 20} MiB; such layers are merged one at a time",
            stacklevel=3,
        )


HARDLY_LINEAR = 0.2
"""The share of all weights in linear layers below which a layerwise method hardly does what it is for."""


def warn_if_hardly_linear(recipe: Recipe) -> None:
    """Warns where a method that treats linear layers apart finds few; called by what the user calls."""
    composition = recipe.composition
    if recipe.method.layerwise and composition["linear_share"] < HARDLY_LINEAR:
        warnings.warn(
            f"{recipe.base.label}: method {recipe.method.name!r} treats linear layers apart, and here they hold only "
            f"{100 * composition['linear_share']:.1f} % of all weights; all else (convolutions) is merged entry by entry",
            stacklevel=3,
        )
