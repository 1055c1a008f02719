"""A model as the rest of cmmlib sees it, wherever its tensors are: names, shapes, and a way to read one at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..files import read_config
from .dtypes import FLOATS, dtype_name
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
        carried: tensors that are no weights, because they hold integers or booleans (counters, masks, indices), if any.
        files: where the tensors lie, if on disk.
        folder: where ``config.json`` lies, if anywhere.
        module: the module itself, if it was given as one.
        revision: the commit, if it came from a hub.
        identity: for tensors that are computed (an adapter), gives the hash of what they are computed from, by scheme
            (`cmmlib.models.content_hash`).
    """

    label: str
    names: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, torch.dtype]
    read: Callable[[str], Tensor]
    tied: dict[str, str] = field(default_factory=dict)
    rest: Source | None = None
    carried: Source | None = None
    files: tuple[Path, ...] = ()
    folder: Path | None = None
    module: nn.Module | None = None
    revision: str | None = None
    identity: Callable[[str], str] | None = None

    @property
    def config(self) -> dict[str, Any] | None:
        """The module's configuration, or the parsed ``config.json`` beside the weights; None where there is none."""
        return config_of(self.module, self.folder)

    def stamp(self) -> list[tuple[int, int, int]]:
        """What changes when one of the files does."""
        return [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in map(os.stat, self.files)]


def config_of(module: nn.Module | None, folder: Path | None) -> dict[str, Any] | None:
    """The configuration of a module, or the parsed ``config.json`` of a folder; None where there is none.

    Raises:
        ValueError: the file is damaged.
    """
    own = getattr(module, "config", None)
    if own is not None and hasattr(own, "to_dict"):
        # the class is what save_pretrained writes
        return {
            **own.to_dict(),
            **({"architectures": [type(module).__name__]} if hasattr(module, "save_pretrained") else {}),
        }
    path = folder / "config.json" if folder else None
    return read_config(path, "a model") if path is not None and path.is_file() else None


def source_of(
    label: str,
    shapes: Mapping[str, tuple[int, ...]],
    dtypes: Mapping[str, torch.dtype],
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
    canonical = canonical_names([*shapes, *tied], config_of(about.get("module"), about.get("folder")))
    own = {key: name for name, key in canonical.items()}

    def part(names: dict[str, str]) -> dict[str, Any]:
        return {
            "names": names,
            "shapes": {name: tuple(shapes[key]) for name, key in names.items()},
            "dtypes": {name: dtypes[key] for name, key in names.items()},
            "read": lambda name: read(names[name]),
        }

    present = {name: key for name, key in canonical.items() if key not in tied}
    weights = {name: key for name, key in present.items() if dtypes[key] in FLOATS.values()}
    carried = {name: key for name, key in present.items() if name not in weights}
    rest = {key: key for key in shapes if key not in own and not key.endswith("position_ids")}
    return Source(
        label,
        **part(weights),
        tied={key: own[other] for key, other in tied.items() if key in own and other in own},
        rest=Source(label, **part(rest)) if rest else None,
        carried=Source(label, **part(carried)) if carried else None,
        **about,
    )


def renamed(source: Source, names: Mapping[str, str], **changed: Any) -> Source:
    """The same source under other canonical names.

    Args:
        names: new canonical name → present one; what is not named goes.
        **changed: other attributes of `Source`.
    """
    return replace(
        source,
        names={new: source.names[old] for new, old in names.items()},
        shapes={new: source.shapes[old] for new, old in names.items()},
        dtypes={new: source.dtypes[old] for new, old in names.items()},
        read=lambda name: source.read(names[name]),
        **changed,
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
            state = isinstance(tensor, Mapping) and name in ("model", "state_dict", "module", "model_state_dict")
            way = f"; it is a trainer's checkpoint: save its {name!r} alone (a state dict)" if state else ""
            raise TypeError(f"{label}: {name!r} is a {type(tensor).__name__}; expected names (str) and tensors{way}")
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
    """Raises ValueError for weights that are integers, or floats of eight bits."""
    carried = source.carried
    if carried is None:
        return
    for name, dtype in carried.dtypes.items():
        # a counter, a mask or an index is no weight, and a boolean never is; where there is nothing else, they are all
        weight = name.endswith(".weight") and dtype is not torch.bool
        if weight or dtype.is_floating_point or dtype.is_complex or not source.shapes:
            raise ValueError(
                f"{source.label}: {carried.names[name]!r} has weights in {dtype_name(dtype)}, which cannot be merged"
                "; is it a quantised model? Dequantise it first (model.dequantize() of transformers), or take the original"
            )
