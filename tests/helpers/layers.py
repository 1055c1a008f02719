"""What the tests of the methods share: random matrices, a comparison, one-layer merges and small models."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cmmlib import ContinualMerger

f64 = torch.float64
SHAPES = [(6, 6), (4, 9), (9, 4), (3, 20), (20, 3), (1, 5), (5, 1), (1, 1)]
LINEAR = ["*.weight"]  # of `small_models`


def randn(*shape: int, seed: int, rank: int | None = None, dtype: torch.dtype = f64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    if rank is None:
        return torch.randn(shape, generator=generator, dtype=f64).to(dtype)
    left = torch.randn(shape[0], rank, generator=generator, dtype=f64)
    return (left @ torch.randn(rank, shape[1], generator=generator, dtype=f64)).to(dtype)


def close(actual: Tensor, expected: Tensor, rel: float = 1e-9) -> bool:
    return bool((actual - expected).norm() <= rel * max(expected.norm().item(), 1e-300))


def merge_task_vectors(method: str, taus: list[Tensor], **params: Any) -> Tensor:
    """The merged task vector of a model with one weight and base zero, computed in float64; 2-D weights are linear."""
    linear = ["w"] if taus[0].ndim == 2 else None
    options = {"linear": linear} if linear else {}
    merger = ContinualMerger({"w": torch.zeros_like(taus[0])}, method, compute_dtype=f64, **options, **params)
    for tau in taus:
        merger.add({"w": tau})
    return merger.merged()["w"]


def small_models(seed: int = 0) -> tuple[dict[str, Tensor], ...]:
    g = torch.Generator().manual_seed(seed)
    base = {"a.weight": torch.randn(6, 5, generator=g), "b.weight": torch.randn(3, 9, generator=g), "b.bias": torch.ones(3)}
    return base, *({k: t + 0.1 * torch.randn(t.shape, generator=g) for k, t in base.items()} for _ in range(2))
