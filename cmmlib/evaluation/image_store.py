"""Preprocessed test images on disk: made once per test set and image processor, read from a memory-mapped file.

Each set has a folder in ``cache_dir() / "images"`` (`cmmlib.evaluation.image_files`).  A damaged set is made again, with a
warning, so that a long run goes on.
"""

from __future__ import annotations

import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..paths import cache_dir
from .image_files import BLOCK, images_key, open_images, write_images
from .image_folders import identity, make_folder

if TYPE_CHECKING:
    from transformers import CLIPImageProcessorPil

    from ..suites.suite import Suite


class TestImages:
    """The preprocessed images of a test set.

    Attributes:
        folder: where they are kept.
        shape: (n, 3, h, w).
        labels: int64 [n].
    """

    __test__ = False  # pytest would take it for a test class

    def __init__(self, suite: Suite, task: str, processor: CLIPImageProcessorPil, *, workers: int | None = None) -> None:
        """Open the images, and make them first if needed, with a progress bar for large sets.

        Args:
            processor: resizes and crops; its rescaling and normalisation are not applied
                (`cmmlib.evaluation.preprocessing.value_table`).
            workers: number of threads; by default one per core, at most 16.  The result does not depend on it.

        Raises:
            OSError: no space left on the disk.
            ValueError: the test set is empty, or the processor pads or gives images of different shapes.
        """
        self._source = (suite, task, processor, workers)
        self.folder = cache_dir() / "images" / images_key(suite.test_set_key(task), processor)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        if not self.folder.exists():
            self._make(None)
        try:
            self._open()
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._repair(str(error))

    def read(self, start: int, stop: int) -> np.ndarray:
        """Images start … stop − 1, uint8 [stop − start, 3, h, w]: a read-only view of the file.

        The view ends at the last image.  A block's checksum is verified when it is first read; a damaged set is made again,
        with a warning.

        Raises:
            OSError: the set is damaged again just after it was made.
        """
        stop = min(stop, len(self.labels))
        for block in range(start // BLOCK, -(-stop // BLOCK)):
            if block not in self._verified:
                self._verify(block)
        return self._pixels[start:stop]

    def forget_verified(self) -> None:
        """Verify the checksums again as blocks are read."""
        self._verified = set[int]()

    def _verify(self, block: int, repair: bool = True) -> None:
        if zlib.crc32(self._pixels[block * BLOCK : (block + 1) * BLOCK].data) == self._checksums[block]:
            self._verified.add(block)
            return
        fault = f"{self.folder / 'pixels.npy'}: images from {block * BLOCK} on differ from their checksum"
        if not repair:
            raise OSError(f"{fault}, just after they were written: is the disk or the memory failing?")
        self._repair(fault)
        self._verify(block, repair=False)

    def _open(self) -> None:
        self._pixels, labels, self._checksums = open_images(self.folder)
        self.forget_verified()
        self._file = identity(self.folder)
        self.labels, self.shape = torch.from_numpy(labels), self._pixels.shape

    def _repair(self, fault: str) -> None:
        warnings.warn(f"{fault}; it is made again", stacklevel=4)
        self._make(getattr(self, "_file", identity(self.folder)))
        self._open()

    def _make(self, damaged: int | None) -> None:
        def write(folder: Path) -> None:
            write_images(folder, *self._source)

        make_folder(self.folder, write, damaged)
