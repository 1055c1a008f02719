"""The merged model: what has been accumulated, scaled as the method says, on top of the base."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from ..models.content_hash import DIGESTS, ContentHash, content_hash, entry_of
from ..models.source import Source
from ..models.tensor_bytes import cast
from .apply_step import run_walks
from .parameter_step import accumulated_of, context_of, square
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


def scale_of(recipe: Recipe, standing: Standing) -> float:
    """The number by which a finish that ``scales`` multiplies."""
    assert recipe.method.finish is not None
    one = torch.ones((), dtype=torch.float64)
    return recipe.method.finish(one, context_of(recipe, standing, len(standing.models)), **recipe.params).item()


def merged_norm(
    recipe: Recipe, standing: Standing, keys: Iterable[str] | None = None, *, solve: bool = False
) -> float | None:
    """‖merged − W0‖ over all parameters, by a pass over them; None where a parameter's finish has sums to solve for.

    Args:
        keys: all names, as an iterable that shows progress, say.
        solve: solve for them.
    """
    squares = []
    for key in recipe.keys if keys is None else keys:
        if key in recipe.kinds:
            if not solve and any(isinstance(accumulated_of(recipe, standing, unit), dict) for unit in recipe.units[key]):
                return None
            squares.append(square(merged_task_vector(recipe, standing, key)))
    return math.sqrt(math.fsum(squares))


def merged_tensor(recipe: Recipe, standing: Standing, key: str, base: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """One merged tensor.

    Args:
        base: the base's, as stored.
        dtype: of the tensor; default: the base's.

    Raises:
        ValueError: the dtype cannot hold a value.
    """
    if key not in recipe.units:  # fixed, and perhaps infinite
        return base.to(dtype or base.dtype)
    merged = recipe.computed(base) + merged_task_vector(recipe, standing, key)
    if key.endswith("running_var"):  # a mean of variances, but for rounding
        merged = merged.clamp_min(0)
    return cast(recipe.base.names[key], merged, dtype or base.dtype).to(base.device)


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
    in_one = recipe.recorded and recipe.hash_scheme == DIGESTS

    def made(key: str) -> tuple[str, Tensor, bytes]:
        base = recipe.base.read(key)
        entry = entry_of(key, base) if in_one else b""
        return key, merged_tensor(recipe, standing, key, base, dtype), entry

    digest = ContentHash(recipe.hash_scheme)
    for key, tensor, entry in run_walks(recipe, made, keys):
        digest.take(entry)
        yield key, tensor
    if recipe.recorded:
        found = digest.hexdigest() if in_one else content_hash(recipe.base, recipe.hash_scheme)
        if found != recipe.base_hash:
            raise recipe.wrong_base("another content")


def merged_model(recipe: Recipe, standing: Standing, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """The merged model under the base's own names, tied ones and what is no weight included; see `merged_tensors`."""
    return model_of(recipe.base, merged_tensors(recipe, standing, dtype))


def model_of(base: Source, merged: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """A model under the base's own names, tied ones and what is no weight included, out of its merged tensors."""
    tensors = dict(merged)
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
