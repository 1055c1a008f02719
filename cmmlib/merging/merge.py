"""`merge`: a whole merge in one call."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..models.source import Model
from .merger import ContinualMerger


def merge(base: Model, models: Iterable[Model], *, method: str = "opcm", **params: Any) -> dict[str, Tensor]:
    """Merge ``models``, in the order given, in one call.

    Args:
        base, models: see `ContinualMerger`.
        method: name of a registered method.
        **params: all other arguments of `ContinualMerger`, the method's hyper-parameters among them.

    Raises:
        ValueError: an empty sequence, and whatever `ContinualMerger` raises.
    """
    if isinstance(models, (str, os.PathLike, torch.nn.Module, Mapping)):
        what = f"path {str(models)!r}" if isinstance(models, str | os.PathLike) else type(models).__name__
        raise ValueError(f"models: expected a sequence of models, got the single {what}; put it in a list")
    merger = ContinualMerger(base, method, **params)
    for model in models:  # which may be a generator: none is kept
        merger.add(model)
    if not len(merger):
        raise ValueError("models: nothing to merge, the sequence is empty")
    return merger.merged()
