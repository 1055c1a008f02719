"""safetensors tensor by tensor: headers that are checked before they are believed, plain reads, a streaming writer.

Plain reads, because the pages of a mapped file count as resident memory; a reader of our own, because a header comes
from a stranger: nothing is allocated that the file does not really hold.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..files import MAX_HEADER, parse_json

_BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8}
_BITS |= {"F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32}
_BITS |= {"C64": 64, "F64": 64, "I64": 64, "U64": 64}
FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_CODES = {dtype: code for code, dtype in FLOATS.items()}


class Entry(NamedTuple):
    """Where a tensor lies: ``dtype`` is None for what is not one of the four float types, ``start`` in bytes of the file."""

    dtype: torch.dtype | None
    shape: tuple[int, ...]
    start: int
    length: int


class Header(NamedTuple):
    entries: dict[str, Entry]
    metadata: dict[str, str]
    size: int  # of the file, in bytes


def read_header(path: Path) -> Header:
    """The checked header of a safetensors file.

    Raises:
        ValueError: the file is truncated or damaged: tensors must tile the data without gap, overlap or rest.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            return Header(*_parse(file, size), size)
        except ValueError as error:
            raise _damaged(path, error) from None


def _damaged(path: Path, error: object) -> ValueError:
    return ValueError(f"{path} is not a valid safetensors file ({error}); fetch it again")


def _parse(file: Any, size: int) -> tuple[dict[str, Entry], dict[str, str]]:
    if size < 8:
        raise ValueError(f"{size} bytes are too few")
    length = int.from_bytes(file.read(8), "little")
    if length > min(size - 8, MAX_HEADER):
        raise ValueError(f"its header claims {length} bytes, the file has {size}, and at most {MAX_HEADER} are parsed")
    parsed = parse_json(file.read(length))
    if not isinstance(parsed, dict):
        raise ValueError("its header is no JSON object")
    metadata = parsed.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata is no mapping of texts")
    entries = {name: _entry(name, value, 8 + length) for name, value in parsed.items()}
    end = 8 + length
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].length)):
        if entry.start != end:
            raise ValueError(f"{name!r} starts at byte {entry.start}, expected {end}")
        end += entry.length
    if end != size:
        raise ValueError(f"its header describes {end} bytes, the file has {size}")
    return entries, metadata


def _entry(name: str, value: Any, base: int) -> Entry:
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"the entry of {name!r} is not dtype, shape and data_offsets")
    code, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(code, str) or code not in _BITS:
        raise ValueError(f"{name!r} has the unknown dtype {str(code)[:40]!r}")
    if not (_counts(shape) and _counts(offsets) and len(offsets) == 2 and math.prod(d or 1 for d in shape) < 1 << 63):
        raise ValueError(f"{name!r} has an impossible shape or offsets")
    start, end = offsets
    if not start <= end or math.prod(shape) * _BITS[code] != 8 * (end - start):
        raise ValueError(f"{name!r}: shape {shape} of {code} does not fill the bytes {start} to {end}")
    return Entry(FLOATS.get(code), tuple(shape), base + start, end - start)


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 63 for item in value)


def read_tensor(path: Path, entry: Entry, size: int) -> Tensor:
    """Read one float tensor; ``size`` is the file's when its header was read.

    Raises:
        ValueError: the file has changed its size since.
    """
    tensor = torch.empty(entry.shape, dtype=entry.dtype)
    with open(path, "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size != size:
            raise _damaged(path, "it has changed its size since it was opened")
        view, done = _bytes(tensor), 0
        file.seek(entry.start)
        while done < entry.length:
            got = file.readinto(view[done:])
            if not got:
                raise _damaged(path, "it ends too early")
            done += got
    return tensor


def _bytes(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU, not copied."""
    if tensor.numel() == 0:
        return memoryview(b"")
    return memoryview(tensor.detach().reshape(-1).view(torch.uint8).numpy())


def tensor_bytes(tensor: Tensor) -> memoryview:
    """The bytes of any tensor in row-major order."""
    return _bytes(tensor.detach().cpu().contiguous())


def _write(file: Any, data: memoryview) -> int:
    return file.write(data)  # a name of its own, for tests in which the disk is full


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
        self._file = open(self.temporary, "wb", buffering=0)  # noqa: SIM115  (closed in close or discard)
        self._file.seek(8 + self._room)

    def put(self, name: str, tensor: Tensor) -> None:
        """Append a float tensor.

        Raises:
            OSError: the disk is full, say.
        """
        data = tensor_bytes(tensor)
        offsets = [self.length, self.length + len(data)]
        self._header[name] = {"dtype": _CODES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        if self._checksums:
            self._metadata[f"crc32:{name}"] = f"{zlib.crc32(data):08x}"
        self._write(data)
        self.length += len(data)

    def _write(self, data: memoryview | bytes) -> None:
        view = memoryview(data)
        try:
            while len(view):
                view = view[_write(self._file, view) :]
        except OSError as error:  # which does not know the file's name
            raise OSError(error.errno, f"{error.strerror} (nothing was changed)", str(self.path)) from None

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


def dtype_named(name: str) -> torch.dtype:
    """``"float32"`` → torch.float32, for the four float types.

    Raises:
        ValueError: another name.
    """
    known = {str(dtype).removeprefix("torch."): dtype for dtype in _CODES}
    if name not in known:
        raise ValueError(f"unknown dtype {name!r}; known: {', '.join(known)}")
    return known[name]


def header_room(names: Mapping[str, Any] | list[str], parts: int = 1) -> int:
    """Bytes that the header of tensors with these names can take, of up to ``parts`` tensors for each name."""
    return 512 + sum(parts * (2 * len(json.dumps(name, ensure_ascii=False).encode()) + 32 * parts + 256) for name in names)
