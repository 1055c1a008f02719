"""The commands on states: start, add, status, export and merge.  Each returns what ``--json`` prints."""

from __future__ import annotations

import argparse
import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import require_empty
from ..merging.state_folder import StateFolder

if TYPE_CHECKING:  # torch takes a second to import
    from ..merging.apply_step import ApplyStep
    from ..merging.recipe import Recipe
    from ..merging.standing import Standing

Result = dict[str, Any]


def start(arguments: argparse.Namespace) -> Result:
    """Begin a merge in a new folder."""
    from ..merging.merger import ContinualMerger

    StateFolder(arguments.state).require_free()
    merger = ContinualMerger(arguments.base, arguments.method, revision=arguments.revision, **_settings(arguments))
    merger.save(arguments.state)
    return _described(arguments.state)


def add(arguments: argparse.Namespace) -> Result:
    """Merge one more model."""
    from ..merging.merger import ContinualMerger
    from .freed_memory import tune_memory

    tune_memory()
    with _apply_step(arguments) as apply_step:
        merger = ContinualMerger.load(
            arguments.state,
            base=arguments.base,
            method=arguments.method,
            progress=True,
            apply_step=apply_step,
            memory=arguments.memory,
        )
        merger.add(arguments.model, arguments.name, revision=arguments.revision, allow_repeat=arguments.allow_repeat)
    return _described(arguments.state)["models"][-1] | {"number": len(merger)}


def status(arguments: argparse.Namespace) -> Result:
    """What has been merged so far."""
    return _described(arguments.state)


def export(arguments: argparse.Namespace) -> Result:
    """Write the merged model."""
    from ..merging.merger import ContinualMerger
    from .freed_memory import tune_memory

    require_empty(arguments.out)
    tune_memory()
    merger = ContinualMerger.load(arguments.state, base=arguments.base, method=arguments.method, progress=True)
    folder = merger.export(arguments.out, **_written(arguments))
    return _exported(merger.recipe, merger.standing, folder)


def merge(arguments: argparse.Namespace) -> Result:
    """Merge models and write the result, without keeping a state."""
    from ..merging.merge import merge_to
    from .freed_memory import tune_memory

    require_empty(arguments.out)
    tune_memory()
    with _apply_step(arguments) as apply_step:
        run = merge_to(
            arguments.out,
            arguments.base,
            arguments.models,
            method=arguments.method,
            allow_repeat=arguments.allow_repeat,
            apply_step=apply_step,
            progress=True,
            memory=arguments.memory,
            revision=arguments.revision,
            **_written(arguments),
            **_settings(arguments),
        )
    return _exported(run.recipe, run.standing, arguments.out.absolute())


def _apply_step(arguments: argparse.Namespace) -> AbstractContextManager[ApplyStep | None]:
    """A context that gives Ray actors for the layers if ``--actors`` asks for them, else None."""
    if arguments.actors is None:
        return nullcontext()
    from ..experiments.ray_layers import RayLayers

    return RayLayers(arguments.actors, arguments.ray)


def _written(arguments: argparse.Namespace) -> dict[str, Any]:
    """How a merged model is written."""
    from ..models.dtypes import dtype_named

    dtype = dtype_named(arguments.dtype) if arguments.dtype else None
    return {"dtype": dtype, "whole": arguments.whole, "max_shard_bytes": int(arguments.max_shard_gb * 1e9)}


def _exported(recipe: Recipe, standing: Standing, folder: Path) -> Result:
    models = [{"left_out": 0, "aside": [], **model} for model in standing.models]  # states of older versions do not say
    return {
        "folder": str(folder),
        "models": len(standing.models),
        "files": sorted(path.name for path in folder.iterdir()),
        "method": recipe.method.name,
        "parameters": dict(recipe.params),
        "composition": recipe.composition,
        "merged": [{"name": m["name"], "left_out": m["left_out"], "aside": m["aside"], **m["history"]} for m in models],
    }


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The merger's keyword arguments from the command line; ValueError for a bad ``--set`` or data type."""
    from ..methods import get_method
    from ..models.dtypes import dtype_named

    params: dict[str, Any] = {}
    for setting in arguments.set:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"--set {setting}: expected PARAMETER=VALUE, as in --set alpha=0.5")
        if key in params:
            raise ValueError(f"--set {key}: given twice")
        try:
            params[key] = json.loads(text)
        except ValueError:
            params[key] = {"True": True, "False": False}.get(text, text)
    get_method(arguments.method).resolve(params)  # now, before they mix with the merger's own arguments
    params["reference_compat"] = arguments.reference_compat
    params["linear"] = arguments.linear
    params["compute_dtype"] = dtype_named(arguments.compute_dtype) if arguments.compute_dtype else None
    return params


def _described(path: Path) -> Result:
    """The content of ``state.json``, without the long lists of layers."""
    record = StateFolder(path).record()
    models = [{**{k: v for k, v in model.items() if k != "history"}, **model["history"]} for model in record["models"]]
    kept = ("method", "parameters", "compute_dtype", "reference_compat", "cmmlib", "torch", "base", "composition")
    models = [{"left_out": 0, "aside": [], **model} for model in models]  # states of older versions do not say
    return {"state": str(path), **{key: record.get(key) for key in kept}, "models": models}
