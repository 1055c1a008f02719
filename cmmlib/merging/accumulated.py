"""What methods accumulate, in memory or in a file: one small interface, read one parameter at a time."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ..methods import Value
from ..models.dtypes import FLOATS
from ..models.safetensors_reader import read_header, read_tensor
from ..models.safetensors_writer import Writer, header_room
from ..models.tensor_bytes import tensor_bytes

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
        # in rows, as they would come back from a file: what follows is then the same in every bit
        self[key] = value.contiguous() if isinstance(value, Tensor) else {k: v.contiguous() for k, v in value.items()}


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
