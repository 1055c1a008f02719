"""The format of a state's ``state.json``, and what can be wrong with one.

Needs no torch, for which ``cmm status`` does not wait.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

FORMAT, VERSION = "cmmlib state", 1
LAYERS = ("linear", "free", "transposed")
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
    layers = record["layers"]
    if not all(isinstance(layers.get(k), list) and all(isinstance(n, str) for n in layers[k]) for k in LAYERS):
        return f"'layers' is not {', '.join(LAYERS)}"
    for model in record["models"]:
        norm = model.get("history", {}).get("task_vector_norm") if isinstance(model, dict) else None
        if not isinstance(norm, float) or not all(isinstance(model.get(k), str) for k in ("name", "hash", "time")):
            return "'models' holds an entry without name, hash, time or norm"
    running = record.get("running", "")
    if running is not None and not (isinstance(running, str) and GENERATION.fullmatch(running)):
        return "'running' names no generation"
    if (running is None) != (not record["models"]):
        return "'running' and 'models' contradict each other"
    return None
