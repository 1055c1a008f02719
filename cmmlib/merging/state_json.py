"""The format of a state's ``state.json``, and what can be wrong with one.

Needs no torch, for which ``cmm status`` does not wait.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

FORMAT, VERSION = "cmmlib state", 2
KINDS = ("linear", "free", "convolution", "statistic", "fixed")
GENERATION = re.compile(r"running-[1-9][0-9]{0,8}\.safetensors")


def generation_name(models: int) -> str | None:
    """The file with the accumulated tensors of so many models."""
    return f"running-{models}.safetensors" if models else None


def fault_of(record: Mapping[str, Any]) -> str | None:
    """What is wrong with a state's JSON, as far as reading it on would stumble; None if nothing."""
    kinds: dict[str, type] = {
        "method": str,
        "parameters": dict,
        "compute_dtype": str,
        "reference_compat": bool,
        "hash_scheme": str,
        "ties_apart": bool,
        "base": dict,
        "layers": dict,
        "running_norm": float,
        "models": list,
    }
    for key, kind in kinds.items():
        if not isinstance(record.get(key), kind):
            return f"{key!r} is missing or no {kind.__name__}"
    if not isinstance(record["base"].get("hash"), str) or not isinstance(record["base"].get("source"), str | None):
        return "'base' lacks its hash or source"
    if fault := _fault_of_layers(record["layers"]):
        return fault
    for model in record["models"]:
        norm = model.get("history", {}).get("task_vector_norm") if isinstance(model, dict) else None
        texts = isinstance(model, dict) and all(isinstance(model.get(k), str) for k in ("name", "time"))
        if not isinstance(norm, float) or not texts or not isinstance(model.get("hash", 0), str | None):
            return "'models' holds an entry without name, hash, time or norm"
    running = record.get("running", "")
    if running is not None and not (isinstance(running, str) and GENERATION.fullmatch(running)):
        return "'running' names no generation"
    if (running is None) != (not record["models"]):
        return "'running' and 'models' contradict each other"
    return None


def _fault_of_layers(layers: Mapping[str, Any]) -> str | None:
    if not all(isinstance(layers.get(kind), list) and all(isinstance(n, str) for n in layers[kind]) for kind in KINDS):
        return f"'layers' is not {', '.join(KINDS)}"
    stored = layers.get("stored")
    if not isinstance(stored, dict) or not all(isinstance(about, dict) for about in stored.values()):
        return "'layers' does not say how they are stored"
    for name, about in stored.items():
        rows = about.get("rows", [])
        counts = [about.get("stacked", 0), *(rows if isinstance(rows, list) else [None])]
        if not isinstance(about.get("transposed", False), bool) or not all(type(n) is int and n >= 0 for n in counts):
            return f"'layers' says of {name!r} what it cannot be"
    return None


def composed(composition: Mapping[str, Any]) -> str:
    """What a merge is made of, in words; see `cmmlib.merging.recipe.Recipe.composition`."""
    parts = [f"{composition['parameters']} parameters"]
    if composition["linear_layers"]:
        share = f"{100 * composition['linear_share']:.1f} % of all weights"
        layers = f"{composition['linear_layers']} linear layer{'s' if composition['linear_layers'] > 1 else ''}"
        parts = [f"{layers} with {share}, in {parts[0]}"]
    for key, what in (
        ("averaged", "statistics averaged"),
        ("carried", "tensors carried over from the base"),
        ("left_out", "tensors of the base left out"),
    ):
        parts += [f"{composition[key]} {what}"] if composition[key] else []
    return "; ".join(parts)


def upgraded(record: Any) -> Any:
    """A state's JSON of version 1 as this version has it, with the kind of hash that it was begun with."""
    if not isinstance(record, dict) or record.get("version") != 1 or not isinstance(record.get("layers"), dict):
        return record
    layers = record["layers"]
    transposed = layers.get("transposed")
    stored = {name: {"transposed": True} for name in transposed} if isinstance(transposed, list) else None
    known = {kind: layers.get(kind) for kind in ("linear", "free")}
    return record | {
        "version": VERSION,
        "hash_scheme": "stream",
        "layers": known | {"convolution": [], "statistic": [], "fixed": [], "stored": stored},
        "composition": None,  # which nobody counted
        "ties_apart": True,  # weights that the base's file holds twice were two parameters
    }
