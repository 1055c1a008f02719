"""safetensors files read tensor by tensor, with headers that are checked before they are believed.

Plain reads, because the pages of a mapped file count as resident memory; a reader of our own, because a header comes
from a stranger: nothing is allocated that the file does not really hold.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from ..files import MAX_HEADER, parse_json
from .dtypes import DTYPES
from .tensor_bytes import bytes_in_place

_BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8}
_BITS |= {"F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32}
_BITS |= {"C64": 64, "F64": 64, "I64": 64, "U64": 64}


class Entry(NamedTuple):
    """Where a tensor lies: ``code`` is the dtype's name in the file, ``start`` in bytes of the file.

    ``dtype`` is None where torch has none that holds one number an element: floats of 4 and 6 bits, and scales in F8_E8M0.
    """

    code: str
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
            return parse_header(file, size)
        except ValueError as error:
            raise _damaged(path, error) from None


def _damaged(path: Path, error: object) -> ValueError:
    return ValueError(f"{path} is not a valid safetensors file ({error}); fetch it again")


def parse_header(file: BinaryIO, size: int) -> Header:
    """The checked header of a safetensors file of ``size`` bytes that is open at its start; see `read_header`."""
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
    return Header(entries, metadata, size)


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
    return Entry(code, DTYPES.get(code), tuple(shape), base + start, end - start)


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 63 for item in value)


def read_tensor(path: Path, entry: Entry, size: int) -> Tensor:
    """Read one tensor that has a dtype; ``size`` is the file's when its header was read.

    Raises:
        ValueError: the file has changed its size since.
    """
    tensor = torch.empty(entry.shape, dtype=entry.dtype)
    with open(path, "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size != size:
            raise _damaged(path, "it has changed its size since it was opened")
        view, done = bytes_in_place(tensor), 0
        file.seek(entry.start)
        while done < entry.length:
            got = file.readinto(view[done:])
            if not got:
                raise _damaged(path, "it ends too early")
            done += got
    return tensor
