"""Models in files: a folder as the hub has it, a ``.safetensors`` file or a ``pytorch_model.bin``.

Nothing is unpickled beyond tensors, and no code of a model's repository runs.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..files import read_json
from .safetensors_reader import read_header, read_tensor
from .source import Source, source_of, source_of_tensors


def open_weights(path: Path) -> Source:
    """Open the weights in a folder or file, as they are, without reading a tensor of a safetensors file.

    Raises:
        FileNotFoundError: there are none.
        ValueError: a file that is damaged or of a kind that is not read.
    """
    folder = path if path.is_dir() else path.parent
    files = weight_files(path)
    if files[0].suffix != ".safetensors":
        return source_of_tensors(_load_bin(files[0]), str(files[0]), ties=True, folder=folder, files=tuple(files))
    headers = {file: read_header(file) for file in files}
    where: dict[str, Path] = {}
    tied: dict[str, str] = {}
    for file, header in headers.items():
        for name in header.entries:
            if name in where:
                raise ValueError(f"{file} holds {name!r}, and so does {where[name].name}; fetch the checkpoint again")
            where[name] = file
        # safetensors' save_model notes a name that it dropped with the one that it kept
        tied |= {name: kept for name, kept in header.metadata.items() if kept in header.entries}
    entries = {name: headers[file].entries[name] for name, file in where.items()}

    def read(name: str) -> Tensor:
        return read_tensor(where[name], entries[name], headers[where[name]].size)

    return source_of(
        str(files[0] if len(files) == 1 else path),
        {name: entry.shape for name, entry in entries.items()},
        {name: entry.dtype or torch.uint8 for name, entry in entries.items()},
        read,
        {name: kept for name, kept in tied.items() if name not in where},
        folder=folder,
        files=tuple(files),
    )


def weight_files(path: Path) -> list[Path]:
    """The files that hold the weights of a folder, or the file itself.

    Raises:
        FileNotFoundError, ValueError: there are none, or an index that is damaged or names files elsewhere.
    """
    if path.is_file():
        if path.suffix not in (".safetensors", ".bin"):
            raise ValueError(f"{path} is neither a .safetensors file nor a pytorch_model.bin")
        return [path]
    index = path / "model.safetensors.index.json"
    if index.is_file():
        return _shards(path, index)
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (path / name).is_file():
            return [path / name]
    found = sorted(path.glob("*.safetensors"))
    if len(found) == 1:
        return found
    raise FileNotFoundError(
        f"{path} holds no model.safetensors or pytorch_model.bin"
        + (f", and {len(found)} other .safetensors files: name one of them" if found else "")
    )


def _shards(path: Path, index: Path) -> list[Path]:
    try:
        shards = sorted(set(read_json(index)["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{index} is damaged ({error!r}); fetch the checkpoint again") from None
    if not shards:
        raise ValueError(f"{index} names no shards; fetch the checkpoint again")
    for shard in shards:
        # a name from a file never becomes a path elsewhere
        plain = isinstance(shard, str) and "\0" not in shard and len(shard) < 256 and Path(shard).name == shard
        if not plain or not (path / shard).is_file():
            raise FileNotFoundError(f"{index} names the shard {str(shard)[:80]!r}, which does not lie beside it")
    return [path / shard for shard in shards]


def _load_bin(file: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except Exception as error:  # torch raises half a dozen kinds here
        raise ValueError(
            f"{file} cannot be read as plain tensors ({type(error).__name__}); it is damaged or would run code when "
            "unpickled. Ask its author for safetensors"
        ) from None
    if not isinstance(state, Mapping):
        raise ValueError(f"{file} holds a {type(state).__name__}, not a mapping of tensors")
    return dict(state)
