"""`merge` and `merge_to`: a whole merge in one call."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..files import require_empty
from ..models.source import Model
from .export import write_export
from .merged import model_of
from .merger import ContinualMerger
from .one_pass import OnePass


def merge(base: Model, models: Iterable[Model], *, method: str = "opcm", **params: Any) -> dict[str, Tensor]:
    """Merge ``models``, in the order given, in one call.

    Of a sequence, all models are checked before one is read, and a method whose steps see one parameter only goes through
    them parameter by parameter (`cmmlib.merging.one_pass.OnePass`).  Of any other iterable, such as a generator, one model
    at a time is drawn, and none is kept.  The numbers are the same.

    Args:
        base, models: see `ContinualMerger`.
        method: name of a method, see `ContinualMerger`.
        **params: all other arguments of `ContinualMerger`, the method's hyper-parameters among them.

    Returns:
        The merged model: a dict of tensors under the base's own key names.

    Raises:
        ValueError: an empty sequence, and whatever `ContinualMerger` raises.
    """
    _require_several(models)
    merger = ContinualMerger(base, method, **params)
    if isinstance(models, Sequence) and not params.get("save_every_step"):
        return model_of(merger.recipe.base, _one_pass(merger, models).tensors())
    for model in models:  # which may be a generator: none is kept
        merger.add(model)
    if not len(merger):
        raise ValueError("models: nothing to merge, the sequence is empty")
    return merger.merged()


def merge_to(
    folder: str | os.PathLike[str],
    base: Model,
    models: Sequence[Model],
    *,
    method: str = "opcm",
    dtype: torch.dtype | None = None,
    whole: bool = False,
    max_shard_bytes: int = 5_000_000_000,
    allow_repeat: bool = False,
    **params: Any,
) -> OnePass:
    """Merge ``models``, in the order given, into a folder that ``from_pretrained`` opens, as ``cmm merge`` does.

    Tensors are read, merged and written one at a time, as many side by side as ``memory`` allows, and the folder appears
    when all is well.

    Args:
        folder: a new or empty folder.
        base, models: see `ContinualMerger`.
        method: name of a method, see `ContinualMerger`.
        dtype, whole, max_shard_bytes: see `ContinualMerger.export`.
        allow_repeat: let a model occur more than once.
        **params: all other arguments of `ContinualMerger`, the method's hyper-parameters among them.

    Returns:
        The finished merge, with its ``recipe`` and ``standing``.

    Raises:
        FileExistsError: the folder is not empty.
        ValueError: an empty sequence, and whatever `ContinualMerger` raises.
        OSError: no disk space.
    """
    _require_several(models)
    scratch = Path(folder).absolute().parent
    if params.get("save_every_step"):
        raise ValueError("save_every_step: a merge in one pass has no intermediate models; use ContinualMerger")
    require_empty(Path(folder))
    merger = ContinualMerger(base, method, **{"hashes": True, **params})
    run = _one_pass(merger, models, allow_repeat=allow_repeat, scratch=scratch)
    write_export(
        merger.recipe,
        folder,
        run.tensors,
        lambda: (run.recipe, run.standing),
        dtype=dtype,
        whole=whole,
        max_shard_bytes=max_shard_bytes,
    )
    return run


def _one_pass(merger: ContinualMerger, models: Sequence[Model], **how: Any) -> OnePass:
    return OnePass(merger.recipe, models, each=merger.each, apply=merger.apply_step, **how)


def _require_several(models: object) -> None:
    if isinstance(models, str | os.PathLike | torch.nn.Module | Mapping):
        what = f"path {str(models)!r}" if isinstance(models, str | os.PathLike) else type(models).__name__
        raise ValueError(f"models: expected a sequence of models, got the single {what}; put it in a list")
