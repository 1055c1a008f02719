"""Models in files: a folder as the hub has it, a ``.safetensors`` file or a ``pytorch_model.bin``.

Nothing is unpickled beyond tensors, and no code of a model's repository runs.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from .checkpoint import Checkpoint, checkpoint_at
from .dtypes import dtype_name
from .quantised import require_unquantised
from .safetensors_reader import read_header, read_tensor
from .source import Source, source_of, source_of_tensors


def open_weights(path: Path) -> Source:
    """Open the weights in a folder or file, as they are, without reading a tensor of a safetensors file.

    Raises:
        FileNotFoundError: there are none.
        ValueError: a file that is damaged or of a kind that is not read, or quantised weights.
    """
    checkpoint = checkpoint_at(path)
    label = str(path if checkpoint.index_file else checkpoint.files[0])
    return (_safetensors if checkpoint.files[0].suffix == ".safetensors" else _pickled)(checkpoint, label)


def _safetensors(checkpoint: Checkpoint, label: str) -> Source:
    headers = {file: read_header(file) for file in checkpoint.files}
    where = checkpoint.located({file: header.entries for file, header in headers.items()})
    entries = {name: headers[file].entries[name] for name, file in where.items()}
    dtypes = {name: dtype_name(entry.dtype) if entry.dtype else entry.code for name, entry in entries.items()}
    require_unquantised(label, dtypes, checkpoint.config)
    # safetensors' save_model notes a name that it dropped with the one that it kept
    tied = {name: kept for header in headers.values() for name, kept in header.metadata.items() if kept in header.entries}

    def read(name: str) -> Tensor:
        return read_tensor(where[name], entries[name], headers[where[name]].size)

    return source_of(
        label,
        {name: entry.shape for name, entry in entries.items()},
        {name: entry.dtype or torch.uint8 for name, entry in entries.items()},  # None is refused as quantised
        read,
        {name: kept for name, kept in tied.items() if name not in where},
        folder=checkpoint.folder,
        files=checkpoint.files,
    )


def _pickled(checkpoint: Checkpoint, label: str) -> Source:
    """Of ``.bin`` files, which all stay mapped; those of the older format, which cannot be mapped, are held in memory."""
    shards = {file: _load_bin(file) for file in checkpoint.files}
    where = checkpoint.located(shards)
    tensors = {name: shards[file][name] for name, file in where.items()}
    dtypes = {str(name): dtype_name(tensor.dtype) for name, tensor in tensors.items() if isinstance(tensor, Tensor)}
    require_unquantised(label, dtypes, checkpoint.config)
    return source_of_tensors(tensors, label, ties=True, folder=checkpoint.folder, files=checkpoint.files)


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
