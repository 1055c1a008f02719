"""A merged model as a folder that transformers' ``from_pretrained`` opens, in versions 4 and 5."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..files import require_empty, require_space, sweep_leftovers, write_flushed, written_whole
from ..models.architecture import Architecture
from ..models.content_hash import ContentHash
from ..models.conversion import saved_form
from ..models.dtypes import dtype_name
from ..models.names import is_tower, stored_name
from ..models.saving import write_shards
from ..models.source import Source, require_floats
from ..models.tensor_bytes import cast
from .copied_files import copied_files, left_behind
from .merged import merged_tensors
from .model_card import model_card
from .recipe import Recipe
from .standing import Standing
from .state_record import dated


def export_model(
    recipe: Recipe, standing: Standing, folder: str | os.PathLike[str], *, keys: Iterable[str] | None = None, **written: Any
) -> Path:
    """Write what has been merged; see `write_export`.

    Args:
        keys: all parameters' names, as an iterable that shows progress, say.
        **written: how it is written.
    """
    if not standing.models:
        raise ValueError("no model has been merged yet, there is nothing to export: add one first")

    def tensors(dtype: torch.dtype | None) -> Iterator[tuple[str, Tensor]]:
        return merged_tensors(recipe, standing, dtype, keys)

    return write_export(recipe, folder, tensors, lambda: (recipe, standing), **written)


def write_export(
    recipe: Recipe,
    folder: str | os.PathLike[str],
    tensors: Callable[[torch.dtype | None], Iterator[tuple[str, Tensor]]],
    merge: Callable[[], tuple[Recipe, Standing]],
    *,
    dtype: torch.dtype | None = None,
    whole: bool = False,
    max_shard_bytes: int = 5_000_000_000,
) -> Path:
    """Write a merged model, its configuration, the base's side files and a model card.

    Warns of what is not copied from the base's folder, custom code above all.

    Args:
        tensors: gives the merged tensors by canonical name, sorted, in the dtype that is asked for.
        merge: gives the recipe and what stands, when all tensors have been taken.

    See `cmmlib.ContinualMerger.export` for the other arguments and errors.
    """
    folder, base = Path(folder).absolute(), recipe.base
    config = base.config if whole else recipe.config
    require_empty(folder)
    if max_shard_bytes < 1:
        raise ValueError(f"max_shard_bytes: expected at least 1, got {max_shard_bytes}")
    rest = _rest(base, config) if whole else None
    sizes = {name: tensor.nbytes for name, tensor in _saved(base, _outline(base, recipe.keys, rest, dtype))}
    require_space(folder.parent, sum(sizes.values()))
    sweep_leftovers(folder)
    copied = copied_files(base)
    with written_whole(folder) as temporary:
        write_shards(temporary, sizes, _saved(base, _all_tensors(recipe, tensors, rest, dtype)), max_shard_bytes)
        if config is not None:
            write_flushed(temporary / "config.json", json.dumps(_exported(config, dtype), indent=2) + "\n")
        copied.copy_to(temporary)
        final, standing = merge()
        write_flushed(temporary / "README.md", model_card(dated(final), standing, whole=whole))
    if config is None or "model_type" not in config:
        missing = "no config.json" if config is None else "no model_type in its config.json"
        warnings.warn(f"{base.label} has {missing}: from_pretrained does not open {folder} as it is", stacklevel=3)
    if message := left_behind(base, copied.left, config):
        warnings.warn(message, stacklevel=3)
    return folder


def _rest(base: Source, config: Mapping[str, Any] | None) -> Source:
    """What completes the vision tower to a whole CLIP model."""
    if base.rest is None or (config or {}).get("model_type") != "clip":
        raise ValueError(
            f"{base.label} is not a whole CLIP model with its config.json: there is no text tower to complete the "
            "vision tower with; export the tower alone, or start from the whole model"
        )
    require_floats(base.rest)
    return base.rest


def _outline(
    base: Source, keys: Iterable[str], rest: Source | None, dtype: torch.dtype | None
) -> Iterator[tuple[str, Tensor]]:
    """All that is written, as `_all_tensors` gives it, on the meta device."""
    parts = [(base, key, stored_name(key, base.shapes), dtype) for key in keys]
    parts += [(rest, name, name, dtype) for name in sorted(rest.names)] if rest is not None else []
    if (carried := base.carried) is not None:
        parts += [(carried, name, stored_name(name, base.shapes), None) for name in sorted(carried.names)]
    for source, name, stored, wanted in parts:
        yield stored, torch.empty(source.shapes[name], dtype=wanted or source.dtypes[name], device="meta")


def _saved(base: Source, tensors: Iterator[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """The tensors as the base stores them; those of a module as its ``save_pretrained`` would."""
    if base.module is None or is_tower(base.shapes) or not hasattr(base.module, "save_pretrained"):
        return tensors
    return iter(saved_form(Architecture(base.module), dict(tensors)).items())


def _all_tensors(
    recipe: Recipe,
    tensors: Callable[[torch.dtype | None], Iterator[tuple[str, Tensor]]],
    rest: Source | None,
    dtype: torch.dtype | None,
) -> Iterator[tuple[str, Tensor]]:
    """All that is written, in the order of the plan, under the names on disk."""
    for key, tensor in tensors(dtype):
        yield stored_name(key, recipe.base.shapes), tensor
    if rest is not None:
        digest = ContentHash(recipe.hash_scheme)
        for name in sorted(rest.names):
            tensor = rest.read(name)
            digest.update(name, tensor)
            yield name, cast(name, tensor, dtype or tensor.dtype)
        if recipe.recorded and digest.hexdigest() != recipe.rest_hash:
            raise recipe.wrong_base("another text tower")
    if (carried := recipe.base.carried) is not None:
        for name in sorted(carried.names):
            yield stored_name(name, recipe.base.shapes), carried.read(name)


def _exported(config: Mapping[str, Any], dtype: torch.dtype | None) -> dict[str, Any]:
    """The configuration with the dtype that was asked for, and without pointers to files that only the base has."""
    config = {key: value for key, value in config.items() if key not in ("auto_map", "transformers_weights")}
    if dtype is not None:
        config = {key: value for key, value in config.items() if key != "torch_dtype"} | {"dtype": dtype_name(dtype)}
    return config
