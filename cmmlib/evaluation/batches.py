"""Test images as floats: as slices, or in batches on the device that computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from ..threads import in_order
from .image_store import TestImages
from .preprocessing import normalised

Item = TypeVar("Item")
Result = TypeVar("Result")


class Pixels:
    """Preprocessed images of a test set, read when sliced: ``pixels[a:b]`` is float32 (b − a, 3, h, w) on the CPU.

    Attributes:
        shape: of all images, (n, 3, h, w).
        labels: int64 (n,).
    """

    def __init__(self, images: TestImages, table: Tensor) -> None:
        self._images, self._table, self.shape, self.labels = images, table, images.shape, images.labels

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Tensor:
        start, stop, step = rows.indices(len(self))
        return normalised(torch.tensor(self._images.read(start, max(start, stop))), self._table.cpu())[::step]

    def batches(self, size: int) -> Iterator[Tensor]:
        """All images in batches, see `batches`."""
        return batches(self._images, size, self._table)


def batches(images: TestImages, size: int, table: Tensor) -> Iterator[Tensor]:
    """All images in batches, float32 [at most size, 3, h, w], on the table's device.

    While a GPU computes, the next batch is read.

    Args:
        table: `cmmlib.evaluation.preprocessing.value_table`, float32 [3, 256].
    """
    gpu = table.device.type == "cuda"

    def read(start: int) -> Tensor:
        view = images.read(start, start + size)
        batch = torch.empty(view.shape, dtype=torch.uint8, pin_memory=gpu)
        batch.numpy()[:] = view
        return batch

    starts = range(0, len(images.labels), size)
    for batch in ahead(read, starts) if gpu else map(read, starts):  # on a CPU the thread costs more than it gains
        yield normalised(batch.to(table.device, non_blocking=gpu), table)


def ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``map(function, items)`` in a thread that stays one item ahead of the caller."""
    with ThreadPoolExecutor(1) as pool:
        yield from in_order(pool, function, items, 2)
