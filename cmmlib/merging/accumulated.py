"""What methods accumulate, in memory or in a file: one small interface, read one parameter at a time."""

from __future__ import annotations

import contextlib
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import torch
from torch import Tensor

from ..methods import Value
from ..models.dtypes import FLOATS
from ..models.safetensors_reader import read_header, read_tensor
from ..models.safetensors_writer import Writer, header_room
from ..models.tensor_bytes import bytes_in_place, tensor_bytes

PART = "::"
"""Stands between a parameter's name and a part's, where a method keeps several tensors per parameter."""

_MAX_PARTS = 8


class Accumulated(Protocol):
    """The accumulated tensors after some models, by canonical name; read one at a time."""

    def __getitem__(self, key: str, /) -> Value: ...

    def __iter__(self) -> Iterator[str]: ...


class Draft(Accumulated, Protocol):
    """The accumulated tensors of the step under way."""

    def put(self, key: str, value: Value) -> None:
        """Take the next parameter's."""


class InMemory(dict[str, Value]):
    """Accumulated tensors in memory; as draft and as what stands."""

    def put(self, key: str, value: Value) -> None:
        """Take the next parameter's."""
        self[key] = value


class _Place(NamedTuple):
    start: int
    bytes: int
    dtype: torch.dtype
    shape: torch.Size


class Kept:
    """Accumulated tensors of a merge that leaves no state: in memory up to a limit, beyond it in a file without a name.

    The file goes with the process, however that ends.

    Args:
        limit: bytes that may stay in memory.
        folder: on whose disk the file lies.
    """

    def __init__(self, limit: float, folder: Path):
        self._limit, self._folder = limit, folder
        self._held: dict[str, Value] = {}
        self._bytes = self._end = 0
        self._file: BinaryIO | None = None
        self._places: dict[str, dict[str, _Place]] = {}

    def put(self, key: str, value: Value) -> None:
        """Take a parameter's, in place of what is there."""
        size = sum(tensor.nbytes for tensor in tensors_of(value))
        if self._bytes + size <= self._limit or key in self._held:
            self._bytes += size if key not in self._held else 0
            self._held[key] = self._copied(value, self._held.get(key))
            return
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115  (lives as long as this)
        parts, known = {"": value} if isinstance(value, Tensor) else value, self._places.get(key, {})
        self._places[key] = {part: self._written(tensor, known.get(part)) for part, tensor in parts.items()}

    def _copied(self, value: Value, known: Value | None) -> Value:
        """A copy in memory that lasts, in place of the one before it where that has the same shape.

        What threads allocate is to be let go: a tensor that stays keeps the free memory around it from use.
        """
        if isinstance(value, dict):
            before = known if isinstance(known, dict) else {}
            return {part: _copy(tensor, before.get(part)) for part, tensor in value.items()}
        return _copy(value, known if isinstance(known, Tensor) else None)

    def _written(self, tensor: Tensor, known: _Place | None) -> _Place:
        """Write a tensor, over one of the same size if there is one."""
        assert self._file is not None
        data, at = tensor_bytes(tensor), self._end
        if known is not None and known.bytes == len(data):
            at = known.start
        else:
            self._end += len(data)
        place = _Place(at, len(data), tensor.dtype, tensor.shape)
        while len(data):
            done = os.pwrite(self._file.fileno(), data, at)
            data, at = data[done:], at + done
        return place

    def __getitem__(self, key: str) -> Value:
        if key in self._held:
            return self._held[key]
        parts = {part: self._read(place) for part, place in self._places[key].items()}
        return parts.get("", parts)

    def _read(self, place: _Place) -> Tensor:
        assert self._file is not None
        tensor = torch.empty(place.shape, dtype=place.dtype)
        data, at = bytes_in_place(tensor), place.start
        while len(data):
            got = os.preadv(self._file.fileno(), [data], at)
            if not got:
                raise OSError("the temporary file of a merge ends too early")
            data, at = data[got:], at + got
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter([*self._held, *self._places])

    def close(self) -> None:
        """Let all go."""
        self._held, self._places = {}, {}
        if self._file is not None:
            self._file.close()


def _copy(tensor: Tensor, place: Tensor | None) -> Tensor:
    if place is not None and (place.shape, place.dtype) == (tensor.shape, tensor.dtype):
        return place.copy_(tensor)
    return tensor.clone()


class OnDisk:
    """Accumulated tensors in a safetensors file of ours, whose checksums it verifies.

    Raises:
        ValueError: the file is damaged; from reading too.
    """

    def __init__(self, path: Path):
        self.path = path
        self._header = read_header(path)
        self._parts: dict[str, dict[str, str]] = {}
        for name, entry in self._header.entries.items():
            if entry.dtype not in FLOATS.values():
                raise self._damaged(name)
            key, _, part = name.partition(PART)
            self._parts.setdefault(key, {})[part] = name

    def __getitem__(self, key: str) -> Value:
        parts = {part: self._tensor(name) for part, name in self._parts[key].items()}
        return parts.get("", parts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the parameters that are kept as one tensor."""
        entries = self._header.entries
        return {key: entries[parts[""]].shape for key, parts in self._parts.items() if "" in parts}

    def _tensor(self, name: str) -> Tensor:
        tensor = read_tensor(self.path, self._header.entries[name], self._header.size)
        if self._header.metadata.get(f"crc32:{name}") != f"{zlib.crc32(tensor_bytes(tensor)):08x}":
            raise self._damaged(name)
        return tensor

    def _damaged(self, name: str) -> ValueError:
        return ValueError(f"{self.path}: {name!r} is damaged (its checksum differs); restore the state from a backup")


class OnDiskDraft:
    """The next generation's file, written tensor by tensor; readable once it is `close`d."""

    def __init__(self, path: Path, keys: Iterable[str]):
        self.path = path
        self._writer = Writer(path, room=header_room(keys, _MAX_PARTS), metadata={"format": "pt"}, checksums=True)
        self._closed: OnDisk | None = None

    def put(self, key: str, value: Value) -> None:
        """Write the next parameter's."""
        for part, tensor in {"": value}.items() if isinstance(value, Tensor) else value.items():
            self._writer.put(key + PART + part if part else key, tensor)

    def __getitem__(self, key: str) -> Value:
        return self.close()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.close())

    def close(self) -> OnDisk:
        """Have it whole on disk, under its name."""
        if self._closed is None:
            self._writer.close()
            self._closed = OnDisk(self.path)
        return self._closed

    def discard(self) -> None:
        """Forget it."""
        self._writer.discard()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


def tensors_of(value: Value) -> Iterable[Tensor]:
    """The tensors that are kept for one parameter."""
    return [value] if isinstance(value, Tensor) else value.values()


def on_device(value: Value, device: torch.device) -> Value:
    """What is kept for one parameter, on ``device``."""
    return value.to(device) if isinstance(value, Tensor) else {part: tensor.to(device) for part, tensor in value.items()}
