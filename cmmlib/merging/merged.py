"""The merged model: what has been accumulated, scaled as the method says, on top of the base."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from ..models.content_hash import ContentHash
from ..models.tensor_bytes import cast
from .parameter_step import accumulated_of, context_of
from .recipe import Recipe
from .standing import Standing


def merged_task_vector(recipe: Recipe, standing: Standing, key: str) -> Tensor:
    """merged − W0 of one parameter, on the device, in the shape in which it is stored."""
    return recipe.joined(key, [_finished(recipe, standing, key, unit) for unit in recipe.units[key]])


def _finished(recipe: Recipe, standing: Standing, key: str, unit: str) -> Tensor:
    value = accumulated_of(recipe, standing, unit)
    if recipe.method.finish and key in recipe.kinds:
        context = context_of(recipe, standing, len(standing.models), name=unit, kind=recipe.kinds[key])
        value = recipe.method.finish(value, context, **recipe.params)
    if not isinstance(value, Tensor):
        raise TypeError(f"method {recipe.method.name!r} accumulates several tensors for {key!r} and has no finish")
    return value


def merged_tensors(
    recipe: Recipe, standing: Standing, dtype: torch.dtype | None = None, keys: Iterable[str] | None = None
) -> Iterator[tuple[str, Tensor]]:
    """Every merged tensor by canonical name, sorted.

    Args:
        dtype: of the tensors; default: each as in the base.
        keys: all names, as an iterable that shows progress, say.

    Raises:
        ValueError: no model has been merged, or the dtype cannot hold a value; at the end, where the merge is recorded, the
            base is not the recorded one.
    """
    if not standing.models:
        raise ValueError("no model has been merged yet: call add(model) first")
    digest = ContentHash(recipe.hash_scheme)
    for key in recipe.keys if keys is None else keys:
        base = recipe.base.read(key)
        if recipe.recorded:
            digest.update(key, base)
        if key not in recipe.units:  # fixed, and perhaps infinite
            yield key, base.to(dtype or base.dtype)
            continue
        merged = recipe.computed(base) + merged_task_vector(recipe, standing, key)
        if key.endswith("running_var"):  # a mean of variances, but for rounding
            merged = merged.clamp_min(0)
        yield key, cast(recipe.base.names[key], merged, dtype or base.dtype).to(base.device)
    if recipe.recorded and digest.hexdigest() != recipe.base_hash:
        raise recipe.wrong_base("another content")


def merged_model(recipe: Recipe, standing: Standing, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """The merged model under the base's own names, tied ones and what is no weight included; see `merged_tensors`."""
    base = recipe.base
    tensors = dict(merged_tensors(recipe, standing, dtype))
    result = {own_name: tensors[key] for key, own_name in base.names.items()}
    # a copy each, as safetensors saves no tensor under two names
    result |= {alias: tensors[kept].clone() for alias, kept in base.tied.items()}
    carried = base.carried
    return result | ({own: carried.read(name) for name, own in carried.names.items()} if carried is not None else {})


def step_folder(parent: Path | None, number: int, name: str) -> Path | None:
    """Where the model after step ``number`` goes, below a folder that receives every one of them; None where there is none.

    Raises:
        FileExistsError: there is one already.
    """
    if parent is None:
        return None
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
    target = parent / f"step_{number:02d}_{safe}"
    if target.exists():
        raise FileExistsError(f"{target} exists; give save_every_step a new folder")
    return target
