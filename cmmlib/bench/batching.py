"""Layers of one shape: side by side on a thread each, one after the other on all threads, or in one batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..threads import side_by_side
from .floor import floor_opcm


def batched(merged: Tensor, tau: Tensor) -> None:
    """`floor_opcm` for stacks (layers, m, n), m ≤ n, by torch's batched products and factorisation."""
    wide, task = merged.double(), tau.double()
    _, u = torch.linalg.eigh(wide @ wide.mT)
    if wide.shape[2] >= 2 * wide.shape[1]:
        (task @ wide.mT) @ u
        (u @ u.mT).float() @ merged
    else:
        u.mT @ task
        u.float() @ (u.mT @ wide).float()


def ways(pairs: list[tuple[Tensor, Tensor]]) -> dict[str, Callable[[], Callable[[], Any]]]:
    """OPCM's factorisations and products for layers of one shape, in three ways; preparing gives the work."""
    stacks = [torch.stack([t if t.shape[0] <= t.shape[1] else t.T for t in column]) for column in zip(*pairs, strict=True)]
    return {
        "side by side": lambda: lambda: list(side_by_side(lambda pair: floor_opcm(*pair), pairs)),
        "all threads on one": lambda: lambda: [floor_opcm(*pair) for pair in pairs],
        "one batch": lambda: lambda: batched(*stacks),
    }
