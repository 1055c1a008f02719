"""The results of the commands, as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..merging.state_json import composed
from . import check


def as_text(command: str, result: dict[str, Any]) -> str:
    """The text that a command prints for its result."""
    if command == "methods":
        return "\n\n".join(map(_method, result["methods"]))
    if command == "add":
        return f"merged model {result['number']}, {result['name']!r}: ‖τ‖ = {result['task_vector_norm']:.6g}"
    if command == "check":
        return check.as_text(result)
    if command in ("export", "merge"):
        parameters = ", ".join(f"{key}={json.dumps(value)}" for key, value in result["parameters"].items())
        norms = ", ".join(f"{_printable(m['name'])} (‖τ‖ = {m['task_vector_norm']:.4g})" for m in result["merged"])
        return (
            f"{result['models']} models merged: {result['folder']} ({', '.join(result['files'])})\n"
            f"method  {result['method']}({parameters})\nlayers  {composed(result['composition'])}\nmodels  {norms}"
        )
    return _state(result)


def _method(method: dict[str, Any]) -> str:
    defaults = method["parameters"]
    parameters = [*method["needed"], *(f"{key}={json.dumps(value)}" for key, value in defaults.items())]
    lines = [f"{method['name']}({', '.join(parameters)})"]
    lines += [f"  {method[key]}" for key in ("what", "paper") if method[key]]
    if kept := method["keeps"]:
        square, wide = (f"{kept[shape]:.2g} times" for shape in ("square", "wide"))
        sizes = f"{square} a linear weight" if square == wide else f"{square} a square weight, {wide} one four times as wide"
        lines.append(f"  keeps {sizes}" + (f": {', '.join(kept['parts'])}" if kept["parts"] else ""))
    return "\n".join(lines)


def _state(result: dict[str, Any]) -> str:
    base = result["base"]
    revision = f" at {base['revision']}" if base.get("revision") else ""
    parameters = ", ".join(f"{key}={json.dumps(value)}" for key, value in result["parameters"].items())
    lines = [
        f"state   {result['state']}",
        f"method  {result['method']}({parameters}), {result['compute_dtype']}",
        f"base    {base['source'] or 'in memory'}{revision}, {base['hash'][:12]}",
        f"models  {len(result['models'])}",
    ]
    if result.get("composition"):
        lines.insert(3, f"layers  {composed(result['composition'])}")
    if left_out := sum(model["left_out"] for model in result["models"]):
        lines.append(f"        {left_out} tensors of the models left out")
    unknown = sum(not model["hash"] for model in result["models"])
    if unknown:
        lines.append(f"        {unknown} merged without a content hash, so not recognised if added again")
    if result["models"]:
        header = ("", "name", "‖τ‖", "‖merged‖", "seconds", "merged at", "content")
        lines += ["", *_table([header, *(_model(number, model) for number, model in enumerate(result["models"], 1))])]
    said: dict[str, list[str]] = {}  # the same sentence often holds for every model
    for number, model in enumerate(result["models"], 1):
        for sentence in model["aside"]:
            said.setdefault(sentence, []).append(str(number))
    if said:
        lines += ["", "beside the weights that are merged"]
        lines += [f"  {', '.join(numbers)}: {_printable(sentence)}" for sentence, numbers in said.items()]
    return "\n".join(lines)


def _model(number: int, model: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(number),
        _printable(model["name"]),
        f"{model['task_vector_norm']:.5g}",
        f"{model.get('merged_norm') or 0:.5g}",
        f"{(model.get('read_seconds') or 0) + (model.get('merge_seconds') or 0):.1f}",
        model["time"][:16].replace("T", " "),
        (model["hash"] or "not taken")[:12],
    )


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
