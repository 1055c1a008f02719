"""Which files of a folder are its weights: those that transformers' ``from_pretrained`` reads, or none at all."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..files import read_config, read_json, require_content
from .foreign_files import SHARD, no_weights, not_weights, require_target, unfinished

WHOLE = ("model.safetensors", "pytorch_model.bin")
"""Names of a model in one file, in the order of preference; before the next comes the index of the first's shards."""

INDEX = ".index.json"
_DISTRIBUTED = re.compile(r"shard-\d{5}-model-\d{5}-of-\d{5}\.safetensors")


class Checkpoint(NamedTuple):
    """The files that hold a model.

    Attributes:
        files: all ``.safetensors`` or all ``.bin``.
        folder: where ``config.json`` lies, if anywhere.
        config: what it holds, if there is one.
        index_file: names the shards, if there are several.
        where: tensor → the shard that the index puts it in.
    """

    files: tuple[Path, ...]
    folder: Path
    config: dict[str, Any] | None
    index_file: Path | None = None
    where: Mapping[str, str] | None = None

    def located(self, names: Mapping[Path, Iterable[str]]) -> dict[str, Path]:
        """Tensor → the file that holds it.

        Args:
            names: file → names of its tensors.

        Raises:
            ValueError: two files hold a tensor, or the index and the shards do not agree.
        """
        found: dict[str, Path] = {}
        for file, held in names.items():
            for name in held:
                if name in found:
                    raise ValueError(f"{file} holds {name!r}, and so does {found[name].name}; fetch the checkpoint again")
                found[name] = file
        if self.where is not None:
            differ = self.where.items() ^ {name: file.name for name, file in found.items()}.items()
            for name, _ in sorted(differ):
                claimed, true = self.where.get(name, "no shard"), found[name].name if name in found else "no shard"
                raise ValueError(
                    f"{self.index_file} puts {name!r} in {claimed}, and it is in {true}; they are not of one checkpoint: "
                    "fetch all of it again"
                )
        return found


def checkpoint_at(path: Path) -> Checkpoint:
    """The files of the model in a folder, or the model's file itself, with the parsed configuration beside it.

    Of what a folder holds that file is taken which transformers' ``from_pretrained`` takes (5.23,
    ``modeling_utils._get_resolved_checkpoint_files``): the one that ``transformers_weights`` in ``config.json`` names, else
    the first of ``model.safetensors``, the index of its shards, ``pytorch_model.bin`` and the index of its shards.

    Warns of an index beside a whole file, which is not read.

    Raises:
        FileNotFoundError: there are no weights, or a file that is named is missing.
        ValueError: a file of a kind that is not read, or one that is damaged.
    """
    folder = path if path.is_dir() else path.parent
    require_target(folder / "config.json")
    config = read_config(folder / "config.json", "a model") if (folder / "config.json").is_file() else None
    if path.is_dir():
        found = _first(folder, config)
        is_index = found.name.endswith(INDEX)
    else:
        found, is_index = path, False
        shard = SHARD.fullmatch(path.name)
        if path.suffix not in (".safetensors", ".bin"):
            raise not_weights(path)
        if shard and int(shard["count"]) > 1:
            raise ValueError(f"{path} is one of {int(shard['count'])} shards, not a whole model; give the folder {folder}")
    require_content(found)
    if not is_index:
        return Checkpoint((found,), folder, config)
    where = _weight_map(found)
    return Checkpoint(_shards(found, where), folder, config, found, where)


def _first(folder: Path, config: Mapping[str, Any] | None) -> Path:
    """The whole file or index that a folder's model is read from."""
    names = {path.name for path in folder.iterdir()}
    if distributed := next(filter(_DISTRIBUTED.fullmatch, sorted(names)), None):
        raise ValueError(
            f"{folder} holds a distributed checkpoint ({distributed}, …), which is not read; load it with transformers and "
            "save it with save_pretrained"
        )
    if (named := (config or {}).get("transformers_weights")) is not None:
        return _named(folder, named)
    for whole in WHOLE:
        for name in (whole, whole + INDEX):
            require_target(folder / name)
            if (folder / name).is_file():
                if name == whole and whole + INDEX in names:
                    warnings.warn(
                        f"{folder} holds {whole} and {whole}{INDEX}; the whole file is read, as from_pretrained does, and "
                        "the shards are not: remove what is out of date",
                        stacklevel=2,
                    )
                return folder / name
    error = no_weights(str(folder), names)
    raise FileNotFoundError(f"{error}{unfinished(folder)}")


def _named(folder: Path, name: object) -> Path:
    told = f"{folder}/config.json: transformers_weights names {str(name)[:80]!r}"
    if not _plain(name) or not str(name).endswith((".safetensors", ".safetensors" + INDEX)):
        raise ValueError(f"{told}, which is neither a .safetensors file nor an index of such in this folder; correct it")
    if not (folder / str(name)).is_file():
        raise FileNotFoundError(f"{told}, which does not lie beside it{unfinished(folder)}; fetch it too")
    return folder / str(name)


def _plain(name: object) -> bool:
    """Whether a name from a file names a file beside it: it never becomes a path elsewhere."""
    return isinstance(name, str) and "\0" not in name and len(name) < 256 and Path(name).name == name


def _weight_map(index: Path) -> dict[str, str]:
    try:
        where = dict(read_json(index)["weight_map"])
        shards = set(where.values())
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{index} is damaged ({error!r}); fetch the checkpoint again") from None
    if not shards:
        raise ValueError(f"{index} names no shards; fetch the checkpoint again")
    return where


def _shards(index: Path, where: Mapping[str, str]) -> tuple[Path, ...]:
    kind = Path(index.name.removesuffix(INDEX)).suffix
    shards = sorted(set(where.values()), key=str)
    for shard in shards:
        if _plain(shard):
            require_target(index.parent / shard)
        if not _plain(shard) or not (index.parent / shard).is_file():
            raise FileNotFoundError(
                f"{index} names the shard {str(shard)[:80]!r}, which does not lie beside it{unfinished(index.parent)}"
            )
        if Path(shard).suffix != kind:
            raise ValueError(f"{index} names {shard!r}, which is no {kind} file; fetch the checkpoint again")
        require_content(index.parent / shard)
    return tuple(index.parent / shard for shard in shards)
