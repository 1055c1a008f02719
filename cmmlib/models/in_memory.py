"""Models that are in memory already: modules, and mappings of tensors."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from .source import Source, source_of_tensors


def open_module(module: nn.Module, role: str) -> Source:
    """A module's parameters and buffers, read when they are needed; ``role`` is what messages call it ("base")."""
    return source_of_tensors(module.state_dict(), f"{role} ({type(module).__name__})", ties=True, module=module)


def open_mapping(tensors: Mapping[str, Tensor], role: str) -> Source:
    """A mapping of tensors by name; ``role`` is what messages call it."""
    return source_of_tensors(tensors, f"{role} (mapping of {len(tensors)} tensors)")
