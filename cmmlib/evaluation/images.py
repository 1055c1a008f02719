"""Preprocessed test images on disk: made once per test set and image processor, read from a memory-mapped file.

A folder under ``cache_dir() / "images"`` holds ``pixels.npy`` (uint8 [n, 3, h, w], resized and cropped, neither rescaled
nor normalised: a quarter of the floats' size), ``labels.npy`` and ``about.json``.  All of it can be made again, so damage
is repaired after a warning and not left to the user: a long run goes on.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import shutil
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..files import flush, read_json, require_space, write_flushed
from ..paths import cache_dir
from ..threads import in_order

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image
    from transformers import CLIPImageProcessorPil

    from ..suites.suite import Suite

FORMAT = 1
BLOCK = 256  # images per checksum
CHUNK = 32  # images that a worker prepares at a time; divides BLOCK
QUIET_BELOW = 20_000_000  # bytes; a bar of milliseconds would land in every notebook's output
SHAPING = ("do_resize", "size", "resample", "do_center_crop", "crop_size")  # all that acts before rescaling


class TestImages:
    """The preprocessed images of a test set.

    Attributes:
        folder: where they lie.
        shape: (n, 3, h, w).
        labels: int64 [n].
    """

    __test__ = False  # no test class, whatever pytest makes of the name

    def __init__(self, suite: Suite, task: str, processor: CLIPImageProcessorPil, *, workers: int | None = None) -> None:
        """Opens what is there and makes what is not, with a progress bar where that takes long.

        Args:
            processor: its resizing and cropping count; rescaling and normalisation do not (`value_table`).
            workers: threads; by default one per core, 16 at most.  The result does not depend on it.

        Raises:
            OSError: no space on the disk.
            ValueError: the processor pads, or gives images of different shapes.
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

        A block's checksum is verified when it is first read; a damaged set is made anew, with a warning.

        Raises:
            OSError: it is damaged as soon as it has been made.
        """
        stop = min(stop, len(self.labels))
        for block in range(start // BLOCK, -(-stop // BLOCK)):
            if block not in self._verified:
                self._verify(block)
        return self._pixels[start:stop]

    def _verify(self, block: int, repair: bool = True) -> None:
        if zlib.crc32(self._pixels[block * BLOCK : (block + 1) * BLOCK]) == self._checksums[block]:
            self._verified.add(block)
            return
        fault = f"{self.folder / 'pixels.npy'}: images from {block * BLOCK} on differ from their checksum"
        if not repair:
            raise OSError(f"{fault}, just after they were written: is the disk or the memory failing?")
        self._repair(fault)
        self._verify(block, repair=False)

    def _open(self) -> None:
        about = read_json(self.folder / "about.json")
        labels = np.load(self.folder / "labels.npy", allow_pickle=False)
        pixels = np.load(self.folder / "pixels.npy", mmap_mode="r", allow_pickle=False)
        shape = tuple(about["shape"])
        if pixels.shape != shape or pixels.dtype != np.uint8 or labels.shape != shape[:1]:
            raise ValueError(f"{self.folder}: the files' shapes are not those of about.json")
        if zlib.crc32(labels) != about["labels"] or len(about["blocks"]) != -(-shape[0] // BLOCK):
            raise ValueError(f"{self.folder / 'labels.npy'} differs from its checksum")
        self._pixels, self._checksums, self._verified = pixels, about["blocks"], set()
        self._file = _identity(self.folder)
        self.labels, self.shape = torch.from_numpy(labels), shape

    def _repair(self, fault: str) -> None:
        warnings.warn(f"{fault}; it is made again", stacklevel=4)
        self._make(getattr(self, "_file", _identity(self.folder)))
        self._open()

    def _make(self, damaged: int | None) -> None:
        """Have the folder made, unless another process has done so meanwhile; `damaged`: the file that is no good."""
        with _locked(self.folder) as alone:
            if alone:
                _sweep(self.folder)
            if self.folder.exists() and _identity(self.folder) != damaged:
                return
            partial = Path(tempfile.mkdtemp(prefix=f".{self.folder.name}.", dir=self.folder.parent))
            try:
                new = partial / "new"
                new.mkdir()
                write_images(new, *self._source)
                if self.folder.exists() and _identity(self.folder) == damaged:
                    os.replace(self.folder, partial / "old")
                try:
                    os.replace(new, self.folder)
                except OSError:  # another process was first, where there are no locks
                    if not self.folder.exists():
                        raise
            finally:
                shutil.rmtree(partial, ignore_errors=True)


def images_key(test_set: str, processor: CLIPImageProcessorPil) -> str:
    """Name of the folder of a test set's images: equal keys, equal pixels."""
    return sha256(json.dumps([FORMAT, test_set, _shaping(processor)], sort_keys=True).encode()).hexdigest()[:24]


def _shaping(processor: CLIPImageProcessorPil) -> dict[str, Any]:
    config = processor.to_dict()
    if config.get("do_pad"):
        raise ValueError("an image processor that pads is not supported")
    return {name: config.get(name) for name in SHAPING}


def shaped(image: Image, processor: CLIPImageProcessorPil) -> np.ndarray:
    """An image of any mode, resized and cropped: uint8 [3, h, w]."""
    output = processor(image.convert("RGB"), do_rescale=False, do_normalize=False, return_tensors="np")
    return output["pixel_values"][0]


def value_table(processor: CLIPImageProcessorPil) -> Tensor:
    """What the processor's rescaling and normalisation make of the 256 values of each channel: float32 [3, 256]."""
    from PIL import Image

    ramp = Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 256, 3))
    output = processor(ramp, do_resize=False, do_center_crop=False, return_tensors="pt")
    return output["pixel_values"][0, :, 0].float().contiguous()


def normalised(pixels: Tensor, table: Tensor) -> Tensor:
    """uint8 [n, 3, h, w] → float32, on their device: the processor's own numbers, to the bit, as they are looked up."""
    rows = torch.arange(3, dtype=torch.int32, device=pixels.device).view(3, 1, 1) * 256
    return table.flatten().index_select(0, (pixels + rows).flatten()).view(pixels.shape)


def write_images(folder: Path, suite: Suite, task: str, processor: CLIPImageProcessorPil, workers: int | None) -> None:
    """Write the three files into an empty folder, flushed."""
    import PIL
    import transformers

    data = suite.test_set(task)
    labels = np.array(data["label"][:], dtype=np.int64)
    if not len(labels):
        raise ValueError(f"the test set of {task} is empty")
    images = data.select_columns(["image"])
    shape = (len(labels), *shaped(images[0]["image"], processor).shape)
    size = int(np.prod(shape))
    try:
        require_space(folder, size + (1 << 20))
    except OSError as error:
        raise OSError(f"{error}: set CMMLIB_CACHE") from None
    quiet = size < QUIET_BELOW
    if not quiet:
        print(f"preparing {task}: {shape[0]} images, {size / 1e9:.1f} GB in {folder.parent.parent}", file=sys.stderr)
    blocks = [0] * -(-shape[0] // BLOCK)
    with open(folder / "pixels.npy", "wb") as file, _bar(task, shape[0], quiet) as bar:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        done = 0
        for chunk in _chunks(images, processor, workers or _cores()):
            if chunk.shape[1:] != shape[1:]:
                raise ValueError(f"the image processor gives shapes {shape[1:]} and {chunk.shape[1:]}; it must crop")
            blocks[done // BLOCK] = zlib.crc32(chunk, blocks[done // BLOCK])
            file.write(chunk)
            done += len(chunk)
            bar.update(len(chunk))
    np.save(folder / "labels.npy", labels)
    about = {
        "format": FORMAT,
        "suite": suite.name,
        "task": task,
        "test_set": suite.test_set_key(task),
        "processor": _shaping(processor),
        "shape": shape,
        "pillow": PIL.__version__,
        "transformers": transformers.__version__,
        "images_per_block": BLOCK,
        "blocks": blocks,  # CRC-32 of each
        "labels": zlib.crc32(labels),
    }
    for name in ("pixels.npy", "labels.npy"):
        flush(folder / name)
    write_flushed(folder / "about.json", json.dumps(about, indent=1))


def _chunks(images: Dataset, processor: CLIPImageProcessorPil, workers: int) -> Iterator[np.ndarray]:
    """Preprocessed images in order, at most CHUNK at a time.  Threads: decoding and resizing let go of the interpreter."""

    def prepare(start: int) -> np.ndarray:
        stop = min(start + CHUNK, len(images))
        found = [shaped(images[i]["image"], processor) for i in range(start, stop)]  # one decoded image at a time
        other = next((image for image in found if image.shape != found[0].shape), None)
        return np.stack(found) if other is None else other[None]

    with ThreadPoolExecutor(workers) as pool:
        yield from in_order(pool, prepare, range(0, len(images), CHUNK), 2 * workers + 1)


def _bar(task: str, images: int, quiet: bool):
    from tqdm import tqdm

    return tqdm(total=images, desc=task, unit="image", disable=quiet)


def _cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 16)


def _identity(folder: Path) -> int | None:
    """Tells ``pixels.npy`` from one that took its place; its time would not, as damage may change that too."""
    try:
        return (folder / "pixels.npy").stat().st_ino
    except OSError:
        return None


@contextlib.contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of a folder that is being made; the system releases it when the process ends, however it ends.

    Gives whether it is held: not where another holds it and ``wait`` is false, and not where there are no locks (some
    network file systems, Windows); there two processes may both make the folder, and the first to finish wins.
    """
    with open(folder.parent / f".{folder.name}.lock", "ab") as file:
        held = _lock(file)
        if held is False and wait:
            told = time.monotonic() + 3
            while held is False:
                time.sleep(0.05)
                if told and time.monotonic() > told:
                    print(f"waiting for another process that prepares {folder}", file=sys.stderr)
                    told = 0
                held = _lock(file)
        yield bool(held)


def _lock(file) -> bool | None:
    """Whether the lock is ours now; None where there are no locks."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


def _sweep(folder: Path) -> None:
    """Remove what killed processes left of this and any other set; the lock of ``folder`` is held."""
    for path in folder.parent.iterdir():
        if not fnmatch.fnmatchcase(path.name, ".*.????????") or not path.is_dir():
            continue
        name = path.name.split(".")[1]
        if name == folder.name:
            shutil.rmtree(path, ignore_errors=True)
            continue
        with _locked(folder.parent / name, wait=False) as alone:
            if alone:
                shutil.rmtree(path, ignore_errors=True)
