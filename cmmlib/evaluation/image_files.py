"""The files of a preprocessed test set: written once by several threads, opened as a memory map.

They are ``pixels.npy`` (uint8 [n, 3, h, w], resized and cropped, neither rescaled nor normalised), ``labels.npy``
(int64 [n]) and ``about.json``, which holds the checksums.
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..files import flush, read_json, require_space, write_flushed
from ..threads import in_order
from .preprocessing import shaped, shaping

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import CLIPImageProcessorPil

    from ..suites.suite import Suite

FORMAT = 1
BLOCK = 256  # images per checksum
CHUNK = 32  # images that a thread prepares at a time; divides BLOCK
QUIET_BELOW = 20_000_000  # bytes; no progress bar below: notebooks would keep the output of a few milliseconds


class ImageFiles(NamedTuple):
    """An opened test set, see `open_images`."""

    pixels: np.ndarray  # uint8 [n, 3, h, w], a memory map
    labels: np.ndarray  # int64 [n]
    checksums: list[int]  # CRC-32 of each block of images


def images_key(test_set: str, processor: CLIPImageProcessorPil) -> str:
    """The name of the folder of a test set's images, 24 hexadecimal digits: equal keys, equal pixels.

    Args:
        test_set: `cmmlib.suites.suite.Suite.test_set_key`.

    Raises:
        ValueError: the processor pads.
    """
    return sha256(json.dumps([FORMAT, test_set, shaping(processor)], sort_keys=True).encode()).hexdigest()[:24]


def write_images(folder: Path, suite: Suite, task: str, processor: CLIPImageProcessorPil, workers: int | None) -> None:
    """Write the three files into an empty folder, flushed.

    Args:
        workers: number of threads; None for one per core, at most 16.

    Raises:
        OSError: no space left on the disk.
        ValueError: the test set is empty, an image cannot be decoded, or the processor gives images of different shapes.
    """
    import PIL
    import transformers
    from tqdm import tqdm

    data = suite.test_set(task)
    labels = np.array(data["label"][:], dtype=np.int64)
    if not len(labels):
        raise ValueError(f"the test set of {task} is empty")
    images = data.select_columns(["image"])
    shape = (len(labels), *_shaped(images, 0, processor, task).shape)
    size = int(np.prod(shape))
    try:
        require_space(folder, size + (1 << 20))
    except OSError as error:
        raise OSError(f"{error}: set CMMLIB_CACHE") from None
    quiet = size < QUIET_BELOW
    if not quiet:
        print(f"preparing {task}: {shape[0]} images, {size / 1e9:.1f} GB in {folder.parent.parent}", file=sys.stderr)
    blocks = [0] * -(-shape[0] // BLOCK)
    bar = tqdm(total=shape[0], desc=task, unit="image", disable=quiet)
    with open(folder / "pixels.npy", "wb") as file, bar:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        done = 0
        for chunk in prepared(images, processor, workers or _cores(), task):
            if chunk.shape[1:] != shape[1:]:
                raise ValueError(
                    f"the image processor gives images of {task} the shapes {shape[1:]} and {chunk.shape[1:]}; it must crop "
                    "them to one size"
                )
            blocks[done // BLOCK] = zlib.crc32(chunk.data, blocks[done // BLOCK])
            file.write(chunk.data)
            done += len(chunk)
            bar.update(len(chunk))
    np.save(folder / "labels.npy", labels)
    about = {
        "format": FORMAT,
        "suite": suite.name,
        "task": task,
        "test_set": suite.test_set_key(task),
        "processor": shaping(processor),
        "shape": shape,
        "pillow": PIL.__version__,
        "transformers": transformers.__version__,
        "images_per_block": BLOCK,
        "blocks": blocks,  # CRC-32 of each
        "labels": zlib.crc32(labels.data),
    }
    for name in ("pixels.npy", "labels.npy"):
        flush(folder / name)
    write_flushed(folder / "about.json", json.dumps(about, indent=1))


def prepared(images: Dataset, processor: CLIPImageProcessorPil, workers: int, task: str) -> Iterator[np.ndarray]:
    """Preprocessed images in order, uint8 [at most CHUNK, 3, h, w] at a time.

    Threads suffice, because decoding and resizing release the interpreter lock.  Where images of one chunk differ in shape
    they come one by one, for `write_images` to refuse the odd one.

    Raises:
        ValueError: an image cannot be decoded; the message names it and the task.
    """

    def prepare(start: int) -> list[np.ndarray]:
        stop = min(start + CHUNK, len(images))
        found = [_shaped(images, i, processor, task) for i in range(start, stop)]  # one decoded image at a time
        alike = len({image.shape for image in found}) == 1
        return [np.stack(found)] if alike else [image[None] for image in found]

    with ThreadPoolExecutor(workers) as pool:
        for chunks in in_order(pool, prepare, range(0, len(images), CHUNK), 2 * workers + 1):
            yield from chunks


def _shaped(images: Dataset, i: int, processor: CLIPImageProcessorPil, task: str) -> np.ndarray:
    try:
        image = images[i]["image"]
        image.load()
    except Exception as error:  # Pillow's decoders fail in many ways
        raise ValueError(f"the test set of {task} is damaged: its image {i} cannot be decoded ({error})") from None
    return shaped(image, processor)


def open_images(folder: Path) -> ImageFiles:
    """Open the files in a folder.  Labels are verified here; the reader verifies the blocks of pixels.

    Raises:
        OSError, ValueError, KeyError, TypeError: a file is missing or damaged.
    """
    about = read_json(folder / "about.json")
    labels = np.load(folder / "labels.npy", allow_pickle=False)
    pixels = np.load(folder / "pixels.npy", mmap_mode="r", allow_pickle=False)
    shape = tuple(about["shape"])
    if pixels.shape != shape or pixels.dtype != np.uint8 or labels.shape != shape[:1]:
        raise ValueError(f"{folder}: the files' shapes are not those of about.json")
    if zlib.crc32(labels) != about["labels"] or len(about["blocks"]) != -(-shape[0] // BLOCK):
        raise ValueError(f"{folder / 'labels.npy'} differs from its checksum")
    return ImageFiles(pixels, labels, about["blocks"])


def _cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 16)
