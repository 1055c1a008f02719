"""A model as the rest of cmmlib sees it, wherever its tensors are: names, shapes, and a way to read one at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..files import read_config
from .dtypes import CODES
from .names import canonical_names

Model = str | os.PathLike[str] | nn.Module | Mapping[str, Tensor]
"""What a model may be given as: a folder, a file, a hub id, an adapter of the base, a module, a mapping of tensors."""


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
        """The module's configuration, or the parsed ``config.json`` beside the weights; None where there is none."""
        own = getattr(self.module, "config", None)
        if own is not None:
            return own.to_dict()
        path = self.folder / "config.json" if self.folder else None
        if path is None or not path.is_file():
            return None
        return read_config(path, "a model")

    def stamp(self) -> list[tuple[int, int, int]]:
        """What changes when one of the files does."""
        return [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in map(os.stat, self.files)]


def source_of(
    label: str,
    shapes: dict[str, tuple[int, ...]],
    dtypes: dict[str, torch.dtype],
    read: Callable[[str], Tensor],
    tied: Mapping[str, str],
    **about: Any,
) -> Source:
    """A source out of what is known by the tensors' own names.

    Args:
        read: gives the tensor of an own name.
        tied: second own name of a tensor → its first; the second may stand in ``shapes`` and ``dtypes`` too.
        **about: other attributes of `Source`.
    """
    canonical = canonical_names([*shapes, *tied])
    own = {key: name for name, key in canonical.items()}
    names = {name: key for name, key in canonical.items() if key not in tied}
    rest = [key for key in shapes if key not in own and not key.endswith("position_ids")]
    rest_shapes, rest_dtypes = {key: shapes[key] for key in rest}, {key: dtypes[key] for key in rest}
    return Source(
        label,
        names,
        {name: shapes[key] for name, key in names.items()},
        {name: dtypes[key] for name, key in names.items()},
        lambda name: read(names[name]),
        {key: own[other] for key, other in tied.items() if key in own and other in own},
        Source(label, {key: key for key in rest}, rest_shapes, rest_dtypes, read) if rest else None,
        **about,
    )


def source_of_tensors(tensors: Mapping[str, Tensor], label: str, *, ties: bool = False, **about: Any) -> Source:
    """A source out of tensors in memory.

    Args:
        ties: whether one storage under two names is one parameter; in a caller's own mapping it may be chance.
        **about: other attributes of `Source`.

    Raises:
        TypeError: something that is no tensor, or no name.
        ValueError: a tensor on the meta device.
    """
    tied: dict[str, str] = {}
    first: dict[tuple[Any, ...], str] = {}
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise TypeError(f"{label}: {name!r} is a {type(tensor).__name__}; expected names (str) and tensors")
        if tensor.is_meta:
            raise ValueError(f"{label}: {name!r} is on the meta device, without values; load the weights first")
        if ties and tensor.numel() and tensor.layout is torch.strided:
            place = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
            if first.setdefault(place, name) != name:
                tied[name] = first[place]
    return source_of(
        label,
        {name: tuple(tensor.shape) for name, tensor in tensors.items()},
        {name: tensor.dtype for name, tensor in tensors.items()},
        lambda name: tensors[name].detach(),
        tied,
        **about,
    )


def require_floats(source: Source) -> None:
    """Raises ValueError for integer or otherwise unsupported weights."""
    for key, dtype in source.dtypes.items():
        if dtype not in CODES:
            raise ValueError(
                f"{source.label}: {source.names[key]!r} has integer or unsupported weights ({dtype}); dequantise the "
                "model, or drop the entry if it is a buffer"
            )
