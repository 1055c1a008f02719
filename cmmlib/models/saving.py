"""Writing a model as a folder that transformers' ``from_pretrained`` opens."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..files import require_empty, write_flushed, written_whole
from .names import canonical_names, stored_name
from .safetensors_writer import Writer, header_room


def save_model(
    tensors: Mapping[str, Tensor], folder: str | os.PathLike[str], config: Mapping[str, Any] | None = None
) -> Path:
    """Write a model folder: ``model.safetensors`` under the hub's key names, and ``config.json`` where one is given.

    Raises:
        FileExistsError: the folder exists and is not empty.
    """
    folder = Path(folder)
    require_empty(folder)
    names = canonical_names(tensors)
    with written_whole(folder) as temporary:
        stored = {stored_name(name, names): tensors[key] for name, key in names.items()}
        with Writer(temporary / "model.safetensors", room=header_room(stored), metadata={"format": "pt"}) as writer:
            for name, tensor in stored.items():
                writer.put(name, tensor)
        if config is not None:
            (temporary / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return folder


def write_shards(folder: Path, sizes: Mapping[str, int], tensors: Iterator[tuple[str, Tensor]], max_bytes: int) -> None:
    """Write tensors into ``model.safetensors``, or into several files with an index where they are too many bytes.

    Args:
        sizes: name of each tensor → its bytes, in the order in which they come.
        tensors: the names and tensors; run to its end, so that what stands after the last one is done too.
        max_bytes: of one file, unless a single tensor has more.
    """
    shards: list[list[str]] = [[]]
    filled = 0
    for name, size in sizes.items():
        if shards[-1] and filled + size > max_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    where: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        file = "model.safetensors" if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        with Writer(folder / file, room=header_room(names), metadata={"format": "pt"}) as writer:
            for _ in names:
                writer.put(*next(tensors))
        where |= dict.fromkeys(names, file)
    if next(tensors, None) is not None:
        raise AssertionError("more tensors than planned")
    if len(shards) > 1:
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": where}
        write_flushed(folder / "model.safetensors.index.json", json.dumps(index, indent=2) + "\n")
