"""The commands on states: start, add, status, export and merge.  Each returns what ``--json`` prints."""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import require_empty, sweep_leftovers
from ..merging.state_folder import NoLocks, StateFolder

if TYPE_CHECKING:  # torch takes a second to import
    from ..merging.layer_map import LayerMap
    from ..merging.merger import ContinualMerger

Result = dict[str, Any]


def start(arguments: argparse.Namespace) -> Result:
    """Begin a merge in a new folder."""
    StateFolder(arguments.state).require_free()
    _begun(arguments).save(arguments.state)
    return _described(arguments.state)


def add(arguments: argparse.Namespace) -> Result:
    """Merge one more model."""
    from ..merging.merger import ContinualMerger

    with _layer_map(arguments) as layer_map:
        merger = ContinualMerger.load(arguments.state, base=arguments.base, progress=True, layer_map=layer_map)
        merger.add(arguments.model, arguments.name, revision=arguments.revision, allow_repeat=arguments.allow_repeat)
    return _described(arguments.state)["models"][-1] | {"number": len(merger)}


def status(arguments: argparse.Namespace) -> Result:
    """What has been merged so far."""
    return _described(arguments.state)


def export(arguments: argparse.Namespace) -> Result:
    """Write the merged model."""
    from ..merging.merger import ContinualMerger

    require_empty(arguments.out)
    merger = ContinualMerger.load(arguments.state, base=arguments.base, progress=True)
    return _exported(merger, arguments)


def merge(arguments: argparse.Namespace) -> Result:
    """Merge models and write the result, without keeping a state."""
    from ..merging.merger import ContinualMerger

    require_empty(arguments.out)
    merger = _begun(arguments)
    parent = arguments.out.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    sweep_leftovers(arguments.out.absolute(), "state.")
    # a temporary state on disk bounds memory as in `cmm add`
    with tempfile.TemporaryDirectory(dir=parent, prefix=f".{arguments.out.name}.state.") as folder:
        with _layer_map(arguments) as layer_map:
            try:
                merger.save(Path(folder) / "state")
                merger = ContinualMerger.load(Path(folder) / "state", progress=True, layer_map=layer_map)
            except NoLocks:
                warnings.warn(f"{parent}: no locks on this file system; merging in memory, which takes more", stacklevel=1)
                merger = _begun(arguments, progress=True, layer_map=layer_map)
            for model in arguments.models:
                merger.add(model, allow_repeat=arguments.allow_repeat)
        return _exported(merger, arguments)


def _begun(arguments: argparse.Namespace, **more: Any) -> ContinualMerger:
    """The merge that the command line describes, without models; ``more`` are further arguments of a merger."""
    from ..merging.merger import ContinualMerger

    return ContinualMerger(arguments.base, arguments.method, revision=arguments.revision, **_settings(arguments), **more)


def _layer_map(arguments: argparse.Namespace) -> AbstractContextManager[LayerMap | None]:
    """A context that gives Ray actors for the layers if ``--actors`` asks for them, else None."""
    if arguments.actors is None:
        return nullcontext()
    from ..experiments.ray_layers import RayLayers

    return RayLayers(arguments.actors, arguments.ray)


def _exported(merger: ContinualMerger, arguments: argparse.Namespace) -> Result:
    from ..models.dtypes import dtype_named

    dtype = dtype_named(arguments.dtype) if arguments.dtype else None
    limit = int(arguments.max_shard_gb * 1e9)
    folder = merger.export(arguments.out, dtype=dtype, whole=arguments.whole, max_shard_bytes=limit)
    files = sorted(path.name for path in folder.iterdir())
    return {
        "folder": str(folder),
        "models": len(merger),
        "files": files,
        "method": merger.method.name,
        "parameters": dict(merger.params),
        "composition": merger.recipe.composition,
        "merged": [{"name": m["name"], "left_out": m.get("left_out", 0), **m["history"]} for m in merger.standing.models],
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
    return {"state": str(path), **{key: record.get(key) for key in kept}, "models": models}
