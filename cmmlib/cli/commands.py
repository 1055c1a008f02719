"""What the commands on states do: start, add, status, export, merge.  Each gives what ``--json`` prints."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ..files import require_empty, sweep_leftovers

Result = dict[str, Any]


def start(arguments: argparse.Namespace) -> Result:
    from ..merging.merger import ContinualMerger

    _require_new_state(arguments.state)
    merger = ContinualMerger(arguments.base, arguments.method, revision=arguments.revision, **_settings(arguments))
    merger.save(arguments.state)
    return _described(arguments.state)


def add(arguments: argparse.Namespace) -> Result:
    from ..merging.merger import ContinualMerger

    with _layer_map(arguments) as layer_map:
        merger = ContinualMerger.load(arguments.state, base=arguments.base, progress=True, layer_map=layer_map)
        merger.add(arguments.model, arguments.name, revision=arguments.revision, allow_repeat=arguments.allow_repeat)
    return _described(arguments.state)["models"][-1] | {"number": len(merger)}


def status(arguments: argparse.Namespace) -> Result:
    return _described(arguments.state)


def export(arguments: argparse.Namespace) -> Result:
    from ..merging.merger import ContinualMerger

    require_empty(arguments.out)
    merger = ContinualMerger.load(arguments.state, base=arguments.base, progress=True)
    return _exported(merger, arguments)


def merge(arguments: argparse.Namespace) -> Result:
    from ..merging.merger import ContinualMerger

    require_empty(arguments.out)
    merger = ContinualMerger(arguments.base, arguments.method, revision=arguments.revision, **_settings(arguments))
    parent = arguments.out.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    sweep_leftovers(arguments.out.absolute(), "state.")
    # in a state of its own: memory is then bounded as in `cmm add`
    with tempfile.TemporaryDirectory(dir=parent, prefix=f".{arguments.out.name}.state.") as folder:
        merger.save(Path(folder) / "state")
        with _layer_map(arguments) as layer_map:
            merger = ContinualMerger.load(Path(folder) / "state", progress=True, layer_map=layer_map)
            for model in arguments.models:
                merger.add(model, allow_repeat=arguments.allow_repeat)
        return _exported(merger, arguments)


def _layer_map(arguments: argparse.Namespace) -> Any:
    """What the layers of a step are merged on, for a ``with``: Ray's actors where they are asked for, else None."""
    if arguments.actors is None:
        return nullcontext()
    from ..experiments.cluster import RayLayers

    return RayLayers(arguments.actors, arguments.ray)


def _exported(merger: Any, arguments: argparse.Namespace) -> Result:
    from ..models.stream import dtype_named

    dtype = dtype_named(arguments.dtype) if arguments.dtype else None
    limit = int(arguments.max_shard_gb * 1e9)
    folder = merger.export(arguments.out, dtype=dtype, whole=arguments.whole, max_shard_bytes=limit)
    files = sorted(path.name for path in folder.iterdir())
    return {"folder": str(folder), "models": len(merger), "files": files}


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The keyword arguments of a merger that the command line asks for."""
    from ..methods import get_method
    from ..models.stream import dtype_named

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
    get_method(arguments.method).resolve(params)  # so that none is taken for another argument of the merger
    params["reference_compat"] = arguments.reference_compat
    params["linear"] = arguments.linear
    params["compute_dtype"] = dtype_named(arguments.compute_dtype) if arguments.compute_dtype else None
    return params


def _require_new_state(path: Path) -> None:
    from ..merging.state_folder import StateFolder

    StateFolder(path).require_free()


def _described(path: Path) -> Result:
    """What ``state.json`` says, without the long lists of layers."""
    from ..merging.state_folder import StateFolder

    record = StateFolder(path).record()
    models = [{**{k: v for k, v in model.items() if k != "history"}, **model["history"]} for model in record["models"]]
    kept = ("method", "parameters", "compute_dtype", "reference_compat", "cmmlib", "torch", "base")
    return {"state": str(path), **{key: record.get(key) for key in kept}, "models": models}


def as_text(command: str, result: Result) -> str:
    """``result`` for a reader."""
    if command == "add":
        return f"merged model {result['number']}, {result['name']!r}: ‖τ‖ = {result['task_vector_norm']:.6g}"
    if command in ("export", "merge"):
        return f"{result['models']} models merged: {result['folder']} ({', '.join(result['files'])})"
    base = result["base"]
    revision = f" at {base['revision']}" if base.get("revision") else ""
    parameters = ", ".join(f"{key}={json.dumps(value)}" for key, value in result["parameters"].items())
    lines = [
        f"state   {result['state']}",
        f"method  {result['method']}({parameters}), {result['compute_dtype']}",
        f"base    {base['source'] or 'in memory'}{revision}, {base['hash'][:12]}",
        f"models  {len(result['models'])}",
    ]
    if result["models"]:
        header = ("", "name", "‖τ‖", "‖merged‖", "seconds", "merged at", "content")
        rows = [
            (
                str(number),
                _printable(model["name"]),
                f"{model['task_vector_norm']:.5g}",
                f"{model.get('merged_norm') or 0:.5g}",
                f"{(model.get('read_seconds') or 0) + (model.get('merge_seconds') or 0):.1f}",
                model["time"][:16].replace("T", " "),
                model["hash"][:12],
            )
            for number, model in enumerate(result["models"], 1)
        ]
        lines += ["", *_table([header, *rows])]
    return "\n".join(lines)


def _table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    rows = list(rows)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
