"""A recipe and what stands as the JSON of a state, and back."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..methods import Method, get_method
from ..methods.finding import file_of, known_method, short_name
from ..models.dtypes import dtype_name, dtype_named
from ..models.layers import Layer
from ..models.source import Model, Source
from ..version import __version__
from .accumulated import OnDisk
from .new_recipe import computing_device, open_base
from .recipe import Origin, Recipe, hashed
from .standing import Standing
from .state_json import FORMAT, KINDS, VERSION, generation_name

_STARTED_WITH = ("cmmlib", "torch", "threads", "method_code")


def on_record(recipe: Recipe) -> Recipe:
    """The recipe of a merge that is to outlive its process: with all hashes, and what it was begun with."""
    return recipe if recipe.recorded else dated(hashed(recipe, rest=True))


def dated(recipe: Recipe) -> Recipe:
    """The recipe with what the merge was begun with, without taking a hash."""
    if recipe.recorded:
        return recipe
    here = (__version__, torch.__version__, torch.get_num_threads(), code_of(recipe.method))
    return replace(recipe, started_with=dict(zip(_STARTED_WITH, here, strict=True)))


def code_of(method: Method) -> str | None:
    """Hash of a method's code; None for what was typed into an interpreter."""
    try:
        return method.source_hash
    except ValueError:
        return None


def to_record(recipe: Recipe, standing: Standing) -> dict[str, Any]:
    """What ``state.json`` says of a merge whose recipe is `on_record`."""
    started = recipe.started_with or {}
    layers = recipe.layers
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
        "hash_scheme": recipe.hash_scheme,
        "ties_apart": recipe.ties_apart,
        "layers": {
            **{kind: sorted(key for key, layer in layers.items() if layer.kind == kind) for kind in KINDS},
            "stored": {key: about for key, layer in sorted(layers.items()) if (about := _stored(layer))},
        },
        "composition": recipe.composition,
        "running": generation_name(len(standing.models)),
        "running_norm": standing.norm,
        "models": list(standing.models),
    }


def _stored(layer: Layer) -> dict[str, Any]:
    """How a parameter is stored, where that is not as a single tensor of (out, in)."""
    about = {"transposed": layer.transposed, "stacked": layer.stacked, "rows": list(layer.rows)}
    return {key: value for key, value in about.items() if value}


def _layers(record: Mapping[str, Any], names: Iterable[str]) -> dict[str, Layer]:
    layers = dict.fromkeys(names, Layer())
    for kind in KINDS:
        layers |= dict.fromkeys(record[kind], Layer(kind))  # type: ignore[arg-type]
    for name, about in record["stored"].items():
        known = layers.get(name, Layer())
        layers[name] = replace(known, **{**about, "rows": tuple(about.get("rows", ()))})
    return layers


def method_of(record: Mapping[str, Any], state: Path, given: str | None) -> Method:
    """The method of a state.

    A state may come from anybody, so no file or module that it names is run, unless the user names it again.

    Args:
        state: its folder, for messages.
        given: the method as the user names it; None for one that cmmlib, this process or an installed package has.

    Raises:
        FileNotFoundError: it is in a file that has gone.
        ValueError: it has to be given, or another one is.
    """
    name = record["method"]
    if given is None:
        if found := known_method(name):
            return found
        file = file_of(name)
        if file is not None and not os.path.isfile(file):
            raise FileNotFoundError(
                f"{state} was started with {name}, and there is no such file any more; say where it is now: "
                f"method=…, or --method path/to/{short_name(name)}"
            )
        if ":" in name:
            raise ValueError(
                f"{state} was started with {name}, code that is not run because a state names it: if you trust it, give "
                f"method={name!r}, or --method {name}"
            )
        raise ValueError(
            f"{state} was started with a method {name!r} that is not known here: import what registers it, or name it with "
            "method=…, or --method path/to/file.py:function"
        )
    method = get_method(given)
    if method.name != name and _function(method.name) != _function(name) and code_of(method) != record.get("method_code"):
        raise ValueError(f"{state} was started with method {name!r}; it cannot go on with {given!r}")
    return method


def _function(name: str) -> str:
    """A method's name without its file or module."""
    return name.rpartition(":")[2]


def recipe_of(
    record: Mapping[str, Any],
    state: Path,
    base: Model | None,
    device: str | torch.device | None,
    given_method: str | None = None,
) -> Recipe:
    """The recipe that a state's JSON tells.

    Args:
        state: its folder, for messages.
        base: where the base is now, if not where it was.
        device: where to compute.
        given_method: see `method_of`.

    Raises:
        FileNotFoundError: the base, or the method's file, is not found.
        ValueError: an unknown method or parameter, a base in memory that is not given, or another base.
    """
    known = record["base"]
    if base is None and known["source"] is None:
        raise ValueError(f"{state} was started from a base in memory; give it: base=…, or --base")
    method = method_of(record, state, given_method)
    params, place = method.resolve(record["parameters"]), computing_device(device)
    dtype = dtype_named(record["compute_dtype"])
    origin = Origin(known["source"], known.get("revision"))
    source = (
        open_base(base, apart=record["ties_apart"]) if base is not None else _reopened(origin, state, record["ties_apart"])
    )
    layers = _layers(record["layers"], source.shapes)
    recipe = Recipe(
        method,
        params,
        source,
        origin,
        layers,
        dtype,
        place,
        record["reference_compat"],
        record["hash_scheme"],
        record["ties_apart"],
        known["hash"],
        known.get("rest_hash"),
        {key: record.get(key) for key in _STARTED_WITH},
    )
    if set(layers) != set(source.shapes):
        raise recipe.wrong_base("other parameters")
    return recipe


def _reopened(origin: Origin, state: Path, apart: bool) -> Source:
    try:
        return open_base(str(origin.source), origin.revision, apart=apart)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"the base of {state}: {error}; say where it is now: base=…, or --base") from None


def standing_of(record: Mapping[str, Any], accumulated: OnDisk | None, recipe: Recipe) -> Standing:
    """What a state's JSON and its accumulated tensors tell.

    Raises:
        ValueError: they are not those of the recipe's base.
    """
    if accumulated is not None:
        shapes = {
            unit: shape
            for key, units in recipe.units.items()
            for unit, shape in zip(units, recipe.layers[key].shapes(recipe.base.shapes[key]), strict=True)
        }
        if set(accumulated) != set(shapes):
            raise recipe.wrong_base("other parameters")
        # a method keeps a tensor of the layer's own shape, or parts of its own
        for unit, shape in accumulated.shapes().items():
            if shape != shapes[unit]:
                raise recipe.wrong_base(f"another shape of {unit!r}")
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
