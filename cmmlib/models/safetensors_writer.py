"""safetensors files written tensor by tensor."""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor

from .dtypes import CODES
from .tensor_bytes import tensor_bytes

_FLUSHED_AT_ONCE = 16 << 20


def write_some(file: FileIO, data: memoryview) -> int:
    """Write what the disk takes at once, and say how much; a name of its own, for tests in which the disk is full."""
    return file.write(data)


class Writer:
    """Writes a safetensors file one tensor at a time, and only when all is on disk gives it its name.

    Room for the header is kept at the front and what is left of it is filled with spaces, as the format allows; so
    neither shapes nor checksums need be known before the tensors are::

        with Writer(path, room=header_room(names)) as writer:
            writer.put("fc.weight", tensor)

    A block that fails leaves nothing behind.

    Args:
        path: the file's final name.
        room: bytes kept for the header, see `header_room`.
        metadata: for the header.
        checksums: note each tensor's CRC-32 in the metadata.
    """

    def __init__(self, path: Path, *, room: int, metadata: Mapping[str, str] | None = None, checksums: bool = False):
        self.path, self.temporary = path, path.with_name(f".{path.name}.tmp")
        self._room, self._metadata, self._checksums = -(-room // 8) * 8, dict(metadata or {}), checksums
        self._header: dict[str, Any] = {}
        self.length = 0  # of the data so far
        self._flushed = 0
        self._file = open(self.temporary, "wb", buffering=0)  # noqa: SIM115  (closed in close or discard)
        self._file.seek(8 + self._room)

    def put(self, name: str, tensor: Tensor) -> None:
        """Append a float tensor.

        Raises:
            OSError: the disk is full, say.
        """
        data = tensor_bytes(tensor)
        offsets = [self.length, self.length + len(data)]
        self._header[name] = {"dtype": CODES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        if self._checksums:
            self._metadata[f"crc32:{name}"] = f"{zlib.crc32(data):08x}"
        self._write(data)
        self.length += len(data)
        self._start_flushing()

    def _write(self, data: memoryview | bytes) -> None:
        view = memoryview(data)
        try:
            while len(view):
                view = view[write_some(self._file, view) :]
        except OSError as error:  # which does not know the file's name
            raise OSError(error.errno, f"{error.strerror} (nothing was changed)", str(self.path)) from None

    def _start_flushing(self) -> None:
        """Have the disk begin with what is written, so that less is left to wait for in the end."""
        end = 8 + self._room + self.length
        if end - self._flushed >= _FLUSHED_AT_ONCE and hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError):  # which changes nothing but the time that closing takes
                os.posix_fadvise(self._file.fileno(), self._flushed, end - self._flushed, os.POSIX_FADV_DONTNEED)
            self._flushed = end

    def close(self) -> None:
        """Write the header, flush to disk, rename."""
        header = {"__metadata__": self._metadata, **self._header}
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) > self._room:
            raise ValueError(f"{self.path}: a header of {len(text)} bytes does not fit in {self._room}")
        if self.length == 0:
            self._file.truncate(8 + self._room)
        self._file.seek(0)
        self._write(self._room.to_bytes(8, "little") + text.ljust(self._room))
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self.temporary, self.path)

    def discard(self) -> None:
        """Remove what was written; harmless at any time, and twice."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self.temporary.unlink(missing_ok=True)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self.discard()


def header_room(names: Iterable[str], parts: int = 1) -> int:
    """Bytes that the header of tensors with these names can take, of up to ``parts`` tensors for each name."""
    return 512 + sum(parts * (2 * len(json.dumps(name, ensure_ascii=False).encode()) + 32 * parts + 256) for name in names)
