"""A merged model as a folder that transformers' ``from_pretrained`` opens, in versions 4 and 5."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..files import flush, require_empty, require_space, sweep_leftovers
from ..models.checkpoints import ContentHash, written_whole
from ..models.hub import PROCESSOR_FILES
from ..models.names import stored_name
from ..models.stream import Writer, header_room
from .checks import require_floats
from .model_card import model_card

if TYPE_CHECKING:
    from .merger import ContinualMerger


def export(
    merger: ContinualMerger, folder: str | os.PathLike, *, dtype: torch.dtype | None, whole: bool, max_shard_bytes: int
) -> Path:
    """See `ContinualMerger.export`."""
    folder, base, config = Path(folder).absolute(), merger._base, merger.base_config if whole else merger.config
    require_empty(folder)
    if not len(merger):
        raise ValueError("no model has been merged yet, there is nothing to export: add one first")
    if max_shard_bytes < 1:
        raise ValueError(f"max_shard_bytes: expected at least 1, got {max_shard_bytes}")
    if whole:
        if base.rest is None or (config or {}).get("model_type") != "clip":
            raise ValueError(
                f"{base.label} is not a whole CLIP model with its config.json: there is no text tower to complete the "
                "vision tower with; export the tower alone, or start from the whole model"
            )
        require_floats(base.rest)
    plan = {stored_name(key, base.shapes): (base.shapes[key], dtype or base.dtypes[key]) for key in merger._keys}
    if whole:
        plan |= {name: (base.rest.shapes[name], dtype or base.rest.dtypes[name]) for name in sorted(base.rest.names)}
    sizes = {name: torch.Size(shape).numel() * kind.itemsize for name, (shape, kind) in plan.items()}
    require_space(folder.parent, sum(sizes.values()))
    sweep_leftovers(folder)
    with written_whole(folder) as temporary:
        _write_weights(temporary, sizes, _tensors(merger, dtype, whole), max_shard_bytes)
        if config is not None:
            _write_text(temporary / "config.json", json.dumps(_exported(config, dtype), indent=2) + "\n")
        for name in PROCESSOR_FILES:
            if base.folder is not None and (base.folder / name).is_file():
                shutil.copyfile(base.folder / name, temporary / name)
                flush(temporary / name)
        _write_text(temporary / "README.md", model_card(merger, whole=whole))
    return folder


def _tensors(merger: ContinualMerger, dtype: torch.dtype | None, whole: bool) -> Iterator[tuple[str, Tensor]]:
    """All that is written, in the order of the plan, under the names on disk."""
    base = merger._base
    for key, tensor in merger._merged_tensors(merger._now, dtype, merger._each("exporting")):
        yield stored_name(key, base.shapes), tensor
    if not whole:
        return
    digest = ContentHash()
    for name in sorted(base.rest.names):
        tensor = base.rest.read(name)
        digest.update(name, tensor)
        yield name, tensor.to(dtype or tensor.dtype)
    if merger._home.on_disk and digest.hexdigest() != merger._home.about["base"].get("rest_hash"):
        raise merger._wrong_base("another text tower")


def _write_weights(folder: Path, sizes: Mapping[str, int], tensors: Iterator[tuple[str, Tensor]], limit: int) -> None:
    shards: list[list[str]] = [[]]
    filled = 0
    for name, size in sizes.items():
        if shards[-1] and filled + size > limit:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    where = {}
    for number, names in enumerate(shards, 1):
        file = "model.safetensors" if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        with Writer(folder / file, room=header_room(names), metadata={"format": "pt"}) as writer:
            for _ in names:
                writer.put(*next(tensors))
        where |= dict.fromkeys(names, file)
    if next(tensors, None) is not None:  # runs it to its end, where the base is verified
        raise AssertionError("more tensors than planned")
    if len(shards) > 1:
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": where}
        _write_text(folder / "model.safetensors.index.json", json.dumps(index, indent=2) + "\n")


def _exported(config: Mapping[str, Any], dtype: torch.dtype | None) -> dict[str, Any]:
    """The configuration with the dtype that was asked for, and without pointers to code of the base's repository."""
    config = {key: value for key, value in config.items() if key != "auto_map"}
    if dtype is not None:
        name = str(dtype).removeprefix("torch.")
        config = {key: value for key, value in config.items() if key != "torch_dtype"} | {"dtype": name}
    return config


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    flush(path)
