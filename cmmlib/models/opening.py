"""The one place that knows what kinds of things a model can be."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import nn

from .adapter import is_adapter, open_adapter
from .architecture import Architecture
from .hub import open_repository
from .in_memory import open_mapping, open_module
from .source import Model, Source
from .weights import open_weights


def open_model(
    model: Model,
    *,
    role: str = "model",
    revision: str | None = None,
    base: Source | None = None,
    architecture: Callable[[], Architecture | None] = lambda: None,
) -> Source:
    """Open a model without reading its tensors.

    Args:
        model: a folder, a ``.safetensors`` or ``pytorch_model.bin`` file, a hub id, a LoRA adapter of the base, an
            ``nn.Module`` or a mapping of tensors.
        role: what error messages call it ("base", "model 3").
        revision: commit, branch or tag of a hub id.
        base: of a LoRA adapter.
        architecture: gives the base's, where it is known; called only for an adapter that needs it.

    Raises:
        FileNotFoundError: nothing at that path, and not a hub id that can be had.
        ValueError: a file that is damaged or of a kind that is not read, or a model without float parameters.
        TypeError: not a model at all.
    """

    def opened(path: Path) -> Source:
        return open_adapter(path, base, open_weights, architecture) if is_adapter(path) else open_weights(path)

    if isinstance(model, nn.Module):
        return open_module(model, role)
    if isinstance(model, Mapping):
        return open_mapping(model, role)
    if isinstance(model, str | os.PathLike):
        path = Path(model)
        return opened(path) if path.exists() else open_repository(str(model), revision, opened)
    raise TypeError(
        f"{role}: expected a folder, a .safetensors file, a hub id, an nn.Module or a mapping of tensors, "
        f"got {type(model).__name__}"
    )
