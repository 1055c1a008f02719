"""What a method keeps of a linear weight between models, found by merging two small ones."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..methods import get_method
from .merger import ContinualMerger

_M = 64
SQUARE, WIDE = (_M, _M), (_M, 4 * _M)
"""Shapes of the weights: as in attention, and as in an MLP."""


class Keeps(NamedTuple):
    """What is kept of one weight in float32.

    Attributes:
        parts: the names of the tensors; none where one of the weight's own shape is kept.
        square, wide: bytes of all of them in multiples of the weight's own, for a square weight and for one that is four
            times as wide as high.
    """

    parts: tuple[str, ...]
    square: float
    wide: float


def keeps(name: str) -> Keeps:
    """What the method of a name keeps, with its default hyper-parameters.

    Raises:
        ValueError: there is no such method, or it has a hyper-parameter without a default.
    """
    square, wide = (_kept(get_method(name).name, shape) for shape in (SQUARE, WIDE))
    sizes = [sum(part.nbytes for part in parts.values()) for parts in (square, wide)]
    own = [4 * height * width for height, width in (SQUARE, WIDE)]
    return Keeps(tuple(sorted(part for part in square if part)), sizes[0] / own[0], sizes[1] / own[1])


def _kept(name: str, shape: tuple[int, int]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(shape, generator=generator)
    merger = ContinualMerger({"weight": base}, name, linear=["weight"])
    for _ in range(2):
        merger.add({"weight": base + 0.01 * torch.randn(shape, generator=generator)})
    assert merger.standing.accumulated is not None
    value = merger.standing.accumulated["weight"]
    return value if isinstance(value, dict) else {"": value}
