"""Reading models tensor by tensor, from wherever they are, and writing them whole or not at all.

A source is a local folder, a ``.safetensors`` or ``pytorch_model.bin`` file, a hub id, an ``nn.Module``, or a mapping of
tensors.  Nothing is unpickled beyond tensors, and no code of a model repository runs.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from . import hub
from .names import canonical_names, stored_name

Model = str | os.PathLike | nn.Module | Mapping[str, Tensor]


@dataclass(frozen=True)
class Source:
    """A model whose tensors are read one at a time.

    Attributes:
        label: what error messages call it.
        names: canonical name → name in the source.
        shapes, dtypes: by canonical name.
        read: gives the tensor of a canonical name.
        folder: where ``config.json`` lies, if anywhere.
        module: the module itself, if it was given as one.
    """

    label: str
    names: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, torch.dtype]
    read: Callable[[str], Tensor]
    folder: Path | None = None
    module: nn.Module | None = None

    @property
    def config(self) -> dict[str, Any] | None:
        """The parsed ``config.json`` beside the weights, or None."""
        path = self.folder / "config.json" if self.folder else None
        if path is None or not path.is_file():
            return None
        try:
            config = json.loads(path.read_text())
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not valid JSON ({error})") from None
        if not isinstance(config, dict):
            raise ValueError(f"{path} holds a {type(config).__name__}, not the configuration of a model")
        return config


def open_model(model: Model, *, role: str = "model", revision: str | None = None) -> Source:
    """Open a model without reading its tensors.

    Args:
        model: see the top of this module.
        role: what error messages call it ("base", "model 3").
        revision: commit, branch or tag of a hub id.

    Raises:
        FileNotFoundError: nothing at that path, and not a hub id that can be had.
        ValueError: a file that is damaged or of a kind that is not read, or a model without float parameters.
        TypeError: not a model at all.
    """
    if isinstance(model, nn.Module):
        return _in_memory(model.state_dict(), f"{role} ({type(model).__name__})", module=model)
    if isinstance(model, Mapping):
        return _in_memory(model, f"{role} (mapping of {len(model)} tensors)")
    if isinstance(model, str | os.PathLike):
        path = Path(model)
        if not path.exists():
            path = hub.fetch(str(model), revision)
        return _on_disk(path)
    raise TypeError(
        f"{role}: expected a folder, a .safetensors file, a hub id, an nn.Module or a mapping of tensors, "
        f"got {type(model).__name__}"
    )


def _in_memory(tensors: Mapping[str, Tensor], label: str, module: nn.Module | None = None) -> Source:
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise TypeError(f"{label}: {name!r} is a {type(tensor).__name__}; expected names (str) and tensors")
        if tensor.is_meta:
            raise ValueError(f"{label}: {name!r} is on the meta device, without values; load the weights first")
    names = canonical_names(tensors)
    return Source(
        label,
        names,
        {name: tuple(tensors[key].shape) for name, key in names.items()},
        {name: tensors[key].dtype for name, key in names.items()},
        lambda name: tensors[names[name]].detach(),
        module=module,
    )


def _on_disk(path: Path) -> Source:
    folder = path if path.is_dir() else path.parent
    files = _weight_files(path)
    label = str(files[0] if len(files) == 1 else path)
    if files[0].suffix != ".safetensors":
        return replace(_in_memory(_load_bin(files[0]), label), folder=folder)
    if sum(file.stat().st_size for file in files) <= _SMALL:  # opening a file a thousand times costs more than it saves
        return replace(_in_memory(_load_safetensors(files), label), folder=folder)
    where: dict[str, Path] = {}
    shapes, dtypes = {}, {}
    for file in files:
        with _opened(file) as handle:
            for key in handle.keys():  # noqa: SIM118  (not a dict)
                where[key] = file
                piece = handle.get_slice(key)
                shapes[key] = tuple(piece.get_shape())
                dtypes[key] = _DTYPES.get(piece.get_dtype(), torch.uint8)
    names = canonical_names(where)

    def read(name: str) -> Tensor:
        # opened anew each time: a mapped file that stays open counts as resident memory, page by page
        with _opened(where[names[name]]) as handle:
            return handle.get_tensor(names[name])

    return Source(
        label,
        names,
        {name: shapes[key] for name, key in names.items()},
        {name: dtypes[key] for name, key in names.items()},
        read,
        folder=folder,
    )


_SMALL = 64 * 2**20  # bytes
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
FLOATS = frozenset(_DTYPES.values())


def _weight_files(path: Path) -> list[Path]:
    if path.is_file():
        if path.suffix not in (".safetensors", ".bin"):
            raise ValueError(f"{path} is neither a .safetensors file nor a pytorch_model.bin")
        return [path]
    index = path / "model.safetensors.index.json"
    if index.is_file():
        try:
            shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ValueError(f"{index} is damaged ({error!r}); fetch the checkpoint again") from None
        if not shards:
            raise ValueError(f"{index} names no shards; fetch the checkpoint again")
        for shard in shards:
            # a name from a file never becomes a path elsewhere
            if not isinstance(shard, str) or Path(shard).name != shard or not (path / shard).is_file():
                raise FileNotFoundError(f"{index} names the shard {shard!r}, which does not lie beside it")
        return [path / shard for shard in shards]
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


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        with safe_open(file, framework="pt") as handle:
            yield handle
    except SafetensorError as error:
        raise ValueError(f"{file} is not a valid safetensors file ({error}); fetch it again") from None


def _load_safetensors(files: list[Path]) -> dict[str, Tensor]:
    tensors = {}
    for file in files:
        with _opened(file) as handle:
            # copies: the tensors are views of the mapped file, which may be overwritten or cut
            tensors |= {key: handle.get_tensor(key).clone() for key in handle.keys()}  # noqa: SIM118  (not a dict)
    return tensors


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


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``target`` when the block ends well, and vanishes when it does not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        yield temporary
        temporary.chmod(0o755)
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def save_model(tensors: Mapping[str, Tensor], folder: str | os.PathLike, config: Mapping[str, Any] | None = None) -> Path:
    """Write a model folder: ``model.safetensors`` under the hub's key names, and ``config.json`` where one is given.

    Raises:
        FileExistsError: the folder exists and is not empty.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists and is not empty; choose another name or remove it")
    names = canonical_names(tensors)
    with written_whole(folder) as temporary:
        stored = {stored_name(name, names): tensors[key].detach().cpu().contiguous() for name, key in names.items()}
        save_file(stored, temporary / "model.safetensors", metadata={"format": "pt"})
        if config is not None:
            (temporary / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return folder
