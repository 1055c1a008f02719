"""A recipe and what stands as the JSON of a state, and back."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch

from ..methods import Kind, Method, get_method
from ..models.dtypes import dtype_name, dtype_named
from ..models.source import Model, Source
from ..version import __version__
from .accumulated import OnDisk
from .recipe import Origin, Recipe, computing_device, hashed, open_base
from .standing import Standing
from .state_json import FORMAT, VERSION, generation_name

_STARTED_WITH = ("cmmlib", "torch", "threads", "method_code")


def on_record(recipe: Recipe) -> Recipe:
    """The recipe of a merge that is to outlive its process: with all hashes, and what it was begun with."""
    if recipe.recorded:
        return recipe
    here = (__version__, torch.__version__, torch.get_num_threads(), code_of(recipe.method))
    return replace(hashed(recipe, rest=True), started_with=dict(zip(_STARTED_WITH, here, strict=True)))


def code_of(method: Method) -> str | None:
    """Hash of a method's code; None for what was typed into an interpreter."""
    try:
        return method.source_hash
    except ValueError:
        return None


def to_record(recipe: Recipe, standing: Standing) -> dict[str, Any]:
    """What ``state.json`` says of a merge whose recipe is `on_record`."""
    started = recipe.started_with or {}
    kinds = recipe.kinds
    return {
        "format": FORMAT,
        "version": VERSION,
        **{key: started.get(key) for key in _STARTED_WITH[:3]},
        "method": recipe.method.name,
        "method_code": started.get("method_code"),
        "parameters": dict(recipe.params),
        "compute_dtype": dtype_name(recipe.compute_dtype),
        "reference_compat": recipe.reference_compat,
        "base": {
            "source": recipe.origin.source,
            "revision": recipe.origin.revision,
            "hash": recipe.base_hash,
            "rest_hash": recipe.rest_hash,
        },
        "layers": {
            "linear": sorted(key for key, kind in kinds.items() if kind == "linear"),
            "free": sorted(key for key, kind in kinds.items() if kind == "free"),
            "transposed": sorted(recipe.transposed),
        },
        "running": generation_name(len(standing.models)),
        "running_norm": standing.norm,
        "models": list(standing.models),
    }


def recipe_of(record: Mapping[str, Any], state: Path, base: Model | None, device: str | torch.device | None) -> Recipe:
    """The recipe that a state's JSON tells.

    Args:
        state: its folder, for messages.
        base: where the base is now, if not where it was.
        device: where to compute.

    Raises:
        FileNotFoundError: the base is not found.
        ValueError: an unknown method or parameter, a base in memory that is not given, or another base.
    """
    known, layers = record["base"], record["layers"]
    if base is None and known["source"] is None:
        raise ValueError(f"{state} was started from a base in memory; give it: base=…, or --base")
    method = get_method(record["method"])
    params, place = method.resolve(record["parameters"]), computing_device(device)
    dtype = dtype_named(record["compute_dtype"])
    origin = Origin(known["source"], known.get("revision"))
    source = open_base(base) if base is not None else _reopened(origin, state)
    kinds = dict.fromkeys(source.shapes, "other") | {key: kind for kind in ("free", "linear") for key in layers[kind]}
    recipe = Recipe(
        method,
        params,
        source,
        origin,
        cast(Mapping[str, Kind], kinds),
        frozenset(layers["transposed"]),
        dtype,
        place,
        record["reference_compat"],
        known["hash"],
        known.get("rest_hash"),
        {key: record.get(key) for key in _STARTED_WITH},
    )
    if set(kinds) != set(source.shapes):
        raise recipe.wrong_base("other parameters")
    return recipe


def _reopened(origin: Origin, state: Path) -> Source:
    try:
        return open_base(str(origin.source), origin.revision)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"the base of {state}: {error}; say where it is now: base=…, or --base") from None


def standing_of(record: Mapping[str, Any], accumulated: OnDisk | None, recipe: Recipe) -> Standing:
    """What a state's JSON and its accumulated tensors tell.

    Raises:
        ValueError: they are not those of the recipe's base.
    """
    shapes = recipe.base.shapes
    if accumulated is not None:
        if set(accumulated) != set(shapes):
            raise recipe.wrong_base("other parameters")
        # a method keeps a tensor of the parameter's own shape, transposed where it is stored so, or parts of its own
        for key, shape in accumulated.shapes().items():
            if sorted(shape) != sorted(shapes[key]):
                raise recipe.wrong_base(f"another shape of {key!r}")
    return Standing(accumulated, record["running_norm"], tuple(record["models"]))


def warn_of_other_code(recipe: Recipe, state: Path) -> None:
    """Warns where the method's code is not what the merge was begun with; called by what the user calls."""
    started = recipe.started_with or {}
    if started.get("method_code") != code_of(recipe.method):
        warnings.warn(
            f"{state}: the code of method {recipe.method.name!r} has changed since this state was started (by cmmlib "
            f"{started.get('cmmlib')}); what follows is not what one run would give",
            stacklevel=3,
        )
