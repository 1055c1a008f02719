"""How a method sees a parameter: as one linear layer, as several that are stored in one tensor, or as something else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

LayerKind = Literal["linear", "free", "other", "convolution", "statistic", "fixed"]
"""``linear``, ``free`` and ``other`` as methods know them (`cmmlib.methods.Kind`).  The weight of a ``convolution`` is
``other`` to them, until one asks for it.  Two never reach a method: a ``statistic`` of BatchNorm is averaged over the
models, a ``fixed`` tensor (a mask with −inf) stays the base's."""


@dataclass(frozen=True)
class Layer:
    """What a stored parameter is.

    Attributes:
        kind: see `LayerKind`.
        transposed: the matrices are stored as (in, out); methods see them as (out, in).
        stacked: so many leading dimensions count layers: 1 for the experts of a mixture in one 3-D tensor.
        rows: output sizes of the layers that lie one below the other in each matrix, as query, key and value do in
            ``in_proj_weight``; empty for a single one.
    """

    kind: LayerKind = "other"
    transposed: bool = False
    stacked: int = 0
    rows: tuple[int, ...] = ()

    @property
    def divided(self) -> bool:
        """Whether the parameter holds several layers."""
        return bool(self.stacked or self.rows)

    def shapes(self, shape: Sequence[int]) -> list[tuple[int, ...]]:
        """The shapes in which methods see a parameter of the stored ``shape``, one for each layer."""
        matrix = tuple(shape[self.stacked :])
        if self.transposed:
            matrix = matrix[::-1]
        below = [(rows, *matrix[1:]) for rows in self.rows] or [matrix]
        return below * math.prod(shape[: self.stacked])

    def views(self, tensor: Tensor) -> list[Tensor]:
        """The layers in a stored tensor, each as (out, in), without a copy of it where there is no need for one."""
        matrices = list(tensor.flatten(0, self.stacked - 1)) if self.stacked else [tensor]
        turned = [matrix.T if self.transposed else matrix for matrix in matrices]
        return [part for matrix in turned for part in (matrix.split(self.rows) if self.rows else (matrix,))]

    def joined(self, views: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
        """The stored tensor of this ``shape`` that has these `views`."""
        each = len(self.rows) or 1
        matrices = [torch.cat(list(views[i : i + each])) if each > 1 else views[i] for i in range(0, len(views), each)]
        turned = [matrix.T if self.transposed else matrix for matrix in matrices]
        return torch.stack(turned).reshape(tuple(shape)) if self.stacked else turned[0]
