"""The running tensors of a merge, in memory or in a file: one small interface, read one parameter at a time."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from ..methods import Value
from ..models.stream import Writer, header_room, read_header, read_tensor, tensor_bytes

_PART = "::"  # between a parameter's name and a part's, where a method keeps several tensors per parameter
_MAX_PARTS = 8


class Running(Protocol):
    """The running tensors after a step, by canonical name; read one at a time."""

    def __getitem__(self, key: str) -> Value: ...


class Draft(Running, Protocol):
    """The running tensors of the step under way."""

    def put(self, key: str, value: Value) -> None:
        """Take the next parameter's."""

    def discard(self) -> None:
        """Forget them all, unless they have been committed."""


class InMemory(dict):
    """Running tensors in memory; as draft and as what stands."""

    def put(self, key: str, value: Value) -> None:
        # in rows, as they would come back from a file: what follows is then the same in every bit
        self[key] = value.contiguous() if isinstance(value, Tensor) else {k: v.contiguous() for k, v in value.items()}

    def discard(self) -> None:
        self.clear()


class OnDisk:
    """Running tensors in a safetensors file of ours, whose checksums it verifies."""

    def __init__(self, path: Path):
        self.path = path
        self._header = read_header(path)
        self._parts: dict[str, dict[str, str]] = {}
        for name, entry in self._header.entries.items():
            if entry.dtype is None:
                raise self._damaged(name)
            key, _, part = name.partition(_PART)
            self._parts.setdefault(key, {})[part] = name

    def __getitem__(self, key: str) -> Value:
        parts = {part: self._tensor(name) for part, name in self._parts[key].items()}
        return parts.get("", parts)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the parameters that are kept as one tensor."""
        entries = self._header.entries
        return {key: entries[parts[""]].shape for key, parts in self._parts.items() if "" in parts}

    def keys(self) -> Iterable[str]:
        return self._parts.keys()

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
        self._writer = Writer(path, room=header_room(list(keys), _MAX_PARTS), metadata={"format": "pt"}, checksums=True)
        self._closed: OnDisk | None = None

    def put(self, key: str, value: Value) -> None:
        if isinstance(value, Tensor):
            return self._writer.put(key, value)
        for part, tensor in value.items():
            self._writer.put(key + _PART + part, tensor)

    def __getitem__(self, key: str) -> Value:
        return self.close()[key]

    def close(self) -> OnDisk:
        if self._closed is None:
            self._writer.close()
            self._closed = OnDisk(self.path)
        return self._closed

    def discard(self) -> None:
        self._writer.discard()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Standing:
    """What stands after some models: all that changes when one is added, replaced as a whole.

    Attributes:
        running: the running tensors; None before the first model.
        norm: ‖running‖ over all parameters.
        models: of each model its name, source, revision, content hash, time and row of the history.
    """

    running: Running | None = None
    norm: float = 0.0
    models: tuple[dict[str, Any], ...] = ()
