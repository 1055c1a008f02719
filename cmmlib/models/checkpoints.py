"""Reading models tensor by tensor, from wherever they are, and writing them whole or not at all.

A source is a local folder, a ``.safetensors`` or ``pytorch_model.bin`` file, a hub id, an ``nn.Module``, or a mapping of
tensors; a model may also be a LoRA adapter of the base.  Nothing is unpickled beyond tensors, and no code of a model
repository runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..files import read_config, read_json, sync_folder
from . import hub
from .names import canonical_names, stored_name
from .stream import Writer, header_room, read_header, read_tensor, tensor_bytes

Model = str | os.PathLike | nn.Module | Mapping[str, Tensor]


@dataclass(frozen=True)
class Source:
    """A model whose tensors are read one at a time.

    Attributes:
        label: what error messages call it.
        names: canonical name → name in the source.
        shapes, dtypes: by canonical name.
        read: gives the tensor of a canonical name.
        tied: own name of a tensor that is another one under a second name → that other one's canonical name; it is in
            none of the above.
        rest: what takes no part in the merge, under its own names (a whole CLIP model's text tower), if anything.
        files: where the tensors lie, if on disk.
        folder: where ``config.json`` lies, if anywhere.
        module: the module itself, if it was given as one.
        revision: the commit, if it came from a hub.
        identity: hash of what the tensors are computed from, if they are computed (an adapter).
    """

    label: str
    names: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, torch.dtype]
    read: Callable[[str], Tensor]
    tied: dict[str, str] = field(default_factory=dict)
    rest: Source | None = None
    files: tuple[Path, ...] = ()
    folder: Path | None = None
    module: nn.Module | None = None
    revision: str | None = None
    identity: str | None = None

    @property
    def config(self) -> dict[str, Any] | None:
        """The parsed ``config.json`` beside the weights, or None."""
        path = self.folder / "config.json" if self.folder else None
        if path is None or not path.is_file():
            return None
        return read_config(path, "a model")

    def stamp(self) -> list[tuple[int, int, int]]:
        """What changes when one of the files does."""
        return [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in map(os.stat, self.files)]


class ContentHash:
    """SHA-256 over (canonical name, dtype, shape, bytes) of every tensor, which must come sorted by name."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def update(self, name: str, tensor: Tensor) -> None:
        about = [name, str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]
        self._digest.update(json.dumps(about).encode() + b"\n")
        self._digest.update(tensor_bytes(tensor))

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def content_hash(source: Source) -> str:
    """The `ContentHash` of a model, whatever file format, sharding or spelling of names it came in."""
    if source.identity:
        return source.identity
    digest = ContentHash()
    for name in sorted(source.names):
        digest.update(name, source.read(name))
    return digest.hexdigest()


def open_model(model: Model, *, role: str = "model", revision: str | None = None, base: Source | None = None) -> Source:
    """Open a model without reading its tensors.

    Args:
        model: see the top of this module.
        role: what error messages call it ("base", "model 3").
        revision: commit, branch or tag of a hub id.
        base: of a LoRA adapter.

    Raises:
        FileNotFoundError: nothing at that path, and not a hub id that can be had.
        ValueError: a file that is damaged or of a kind that is not read, or a model without float parameters.
        TypeError: not a model at all.
    """
    if isinstance(model, nn.Module):
        return _in_memory(model.state_dict(), f"{role} ({type(model).__name__})", ties=True, module=model)
    if isinstance(model, Mapping):
        return _in_memory(model, f"{role} (mapping of {len(model)} tensors)")
    if isinstance(model, str | os.PathLike):
        path, commit = Path(model), None
        if not path.exists():
            path = hub.fetch(str(model), revision)
            commit = path.name  # of the snapshot's folder
        if (path / "adapter_config.json").is_file():
            from .adapter import open_adapter

            return replace(open_adapter(path, base), revision=commit)
        return replace(open_tensors(path), revision=commit)
    raise TypeError(
        f"{role}: expected a folder, a .safetensors file, a hub id, an nn.Module or a mapping of tensors, "
        f"got {type(model).__name__}"
    )


def _in_memory(tensors: Mapping[str, Tensor], label: str, *, ties: bool = False, module: nn.Module | None = None) -> Source:
    """``ties``: one storage under two names is one parameter; in a caller's own mapping it may be chance."""
    tied, first = {}, {}
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise TypeError(f"{label}: {name!r} is a {type(tensor).__name__}; expected names (str) and tensors")
        if tensor.is_meta:
            raise ValueError(f"{label}: {name!r} is on the meta device, without values; load the weights first")
        if ties and tensor.numel() and tensor.layout is torch.strided:
            place = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
            if first.setdefault(place, name) != name:
                tied[name] = first[place]
    return _source(
        label,
        {name: tuple(tensor.shape) for name, tensor in tensors.items()},
        {name: tensor.dtype for name, tensor in tensors.items()},
        lambda name: tensors[name].detach(),
        tied,
        module=module,
    )


def _source(
    label: str,
    shapes: dict[str, tuple[int, ...]],
    dtypes: dict[str, torch.dtype],
    read: Callable[[str], Tensor],
    tied: dict[str, str],
    **about: Any,
) -> Source:
    """A source out of what is known by the tensors' own names, tied ones included."""
    canonical = canonical_names([*shapes, *tied])
    own = {key: name for name, key in canonical.items()}
    names = {name: key for name, key in canonical.items() if key not in tied}
    rest = {key: key for key in shapes if key not in own and not key.endswith("position_ids")}
    rest_about = {key: {name: about[name] for name in rest} for key, about in (("shapes", shapes), ("dtypes", dtypes))}
    return Source(
        label,
        names,
        {name: shapes[key] for name, key in names.items()},
        {name: dtypes[key] for name, key in names.items()},
        lambda name: read(names[name]),
        {key: own[other] for key, other in tied.items() if key in own and other in own},
        Source(label, rest, **rest_about, read=read) if rest else None,
        **about,
    )


def open_tensors(path: Path) -> Source:
    """Open the weights in a folder or file, as they are; see `open_model`."""
    folder = path if path.is_dir() else path.parent
    files = weight_files(path)
    if files[0].suffix != ".safetensors":
        return replace(_in_memory(_load_bin(files[0]), str(files[0]), ties=True), folder=folder, files=tuple(files))
    headers = {file: read_header(file) for file in files}
    where: dict[str, Path] = {}
    tied = {}
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

    return _source(
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


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``target`` when the block ends well, and vanishes when it does not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        yield temporary
        temporary.chmod(0o755)
        sync_folder(temporary)
        os.replace(temporary, target)
        sync_folder(target.parent)
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
        stored = {stored_name(name, names): tensors[key] for name, key in names.items()}
        with Writer(temporary / "model.safetensors", room=header_room(stored), metadata={"format": "pt"}) as writer:
            for name, tensor in stored.items():
                writer.put(name, tensor)
        if config is not None:
            (temporary / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return folder
