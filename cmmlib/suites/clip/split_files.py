"""Finding the files of a data set's repository that hold the split to score: by its card, else by their names."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from .tasks import ClipTask

CARD = "README.md"
_FORMATS = (".parquet", ".tar")
_PARTIAL = "partial-"  # what the hub's own conversion puts before a split of which it has made only the first gigabytes
_SHARD = re.compile(r"(.*-)(\d{5})(-of-(\d{5}).*)")


def read_card(path: Path) -> dict[str, Any]:
    """The YAML at the head of a data set's README.md, {} if there is none; ValueError if it cannot be read."""
    from huggingface_hub.repocard import metadata_load

    try:
        return metadata_load(path) or {}
    except Exception as error:  # yaml's own kinds, or not UTF-8
        raise ValueError(f"{path}: the YAML at its head cannot be read ({error})") from None


def card_names(folder: Path, task: ClipTask) -> list[str] | None:
    """The label names that the card in a folder declares; None if it declares none.

    Raises:
        ValueError: its ``dataset_info`` cannot be read.
    """
    import datasets

    try:
        infos = datasets.info.DatasetInfosDict.from_directory(str(folder))
    except Exception as error:  # unexpected YAML can fail in any way
        raise ValueError(f"{folder / CARD}: its dataset_info cannot be read ({error})") from None
    info = infos.get(task.config or "default") or (next(iter(infos.values())) if len(infos) == 1 else None)
    features = (info.features if info is not None else None) or {}
    return getattr(features.get(task.label), "names", None)


def split_files(names: Sequence[str], card: Mapping[str, Any], task: ClipTask) -> list[str]:
    """The files that hold the split that a task is scored on.

    The card's ``configs`` name them.  Without ``configs``, they are the files with the split's name in their path, in the
    configuration's folder if the task names a configuration.

    Args:
        names: all files of the repository.
        card: see `read_card`.

    Raises:
        ValueError: there are none, or they are in several folders, or some of their number are missing, or the repository
            has only a script to make them.
    """
    files = [name for name in names if name.endswith(_FORMATS)]
    patterns = _patterns(card, task)
    if patterns is None:  # no card says where the splits are
        inside = [name for name in files if task.config is None or name.startswith(f"{task.config}/")]
        found = {split: [name for name in inside if _bears(name, split)] for split in ("train", "validation", "test")}
        found[task.split] = [name for name in inside if _bears(name, task.split)]
    else:
        found = {split: [name for name in files if _matches(name, globs)] for split, globs in patterns.items()}
    chosen = found.get(task.split)
    where = f"data set {task.dataset}" + (f", configuration {task.config}" if task.config else "")
    if chosen and len({PurePosixPath(name).parent for name in chosen}) == 1:
        _require_all(chosen, where, task)
        return chosen
    if chosen:
        raise ValueError(f"{where}: the files of split {task.split!r} are spread over folders: {', '.join(chosen)}")
    script = f"{task.dataset.split('/')[1]}.py"
    if not files and script in names:
        raise ValueError(
            f"{where} is a script ({script}), which datasets no longer runs. Give the hub's own conversion, "
            f'revisions={{"{task.dataset}": "refs/convert/parquet"}}, or data_dir with its Parquet files'
        )
    splits = ", ".join(sorted(split for split, chosen in found.items() if chosen)) or "none"
    part = f"{_PARTIAL}{task.split}"
    partial = f" ({part} holds only a part of it)" if any(part in name for name in files) else ""
    raise ValueError(
        f"{where} has no files ({', '.join(_FORMATS)}) for split {task.split!r}{partial}; it has these splits: {splits}. "
        f"Give another revision of it (revisions), or data_dir with {task.dataset}/data/{task.split}-00000-of-00001.parquet"
    )


def _patterns(card: Mapping[str, Any], task: ClipTask) -> dict[str, list[str]] | None:
    """Split → globs in the card's section on the task's configuration; None if the card has no ``configs``."""
    configs = [entry for entry in card.get("configs") or [] if entry.get("data_files")]
    if not configs:
        return None
    if task.config is not None:
        configs = [entry for entry in configs if entry.get("config_name") == task.config]
    else:
        configs.sort(key=lambda entry: not (entry.get("default") or entry.get("config_name") == "default"))
    if not configs:
        return {}
    given = configs[0]["data_files"]
    if isinstance(given, Mapping):
        given = [{"split": split, "path": path} for split, path in given.items()]
    globs: dict[str, list[str]] = {}
    for entry in given if isinstance(given, list) else []:
        if isinstance(entry, Mapping):
            path = entry.get("path")
            globs.setdefault(str(entry.get("split")), []).extend([path] if isinstance(path, str) else path or [])
    return globs


def _require_all(chosen: Sequence[str], where: str, task: ClipTask) -> None:
    """Raise ValueError where names like test-00000-of-00018.parquet say that there are more files than are there."""
    shards = [match for name in chosen if (match := _SHARD.fullmatch(name))]
    numbers = {int(match[2]) for match in shards}
    count = max((int(match[4]) for match in shards), default=0)
    if missing := sorted(set(range(count)) - numbers):
        name = f"{shards[0][1]}{missing[0]:05}{shards[0][3]}"
        raise ValueError(
            f"{where}: split {task.split!r} has {len(numbers)} of its {count} files; {name}"
            + (f" and {len(missing) - 1} more are" if len(missing) > 1 else " is")
            + " missing, as after an interrupted download: fetch them too"
        )


def _bears(name: str, split: str) -> bool:
    """Whether a path names a split, as in data/test-00000-of-00001.parquet and test/0.tar, and not only a part of it."""
    return re.search(rf"(^|[-._/])(?<!{_PARTIAL}){split}([-._/]|\d)", name) is not None


def _matches(name: str, globs: Sequence[str]) -> bool:
    """Whether a path matches any glob as on the hub: ``*`` stays within a folder, ``**`` crosses folders."""
    return any(fnmatch.fnmatchcase(name, glob) and ("**" in glob or glob.count("/") == name.count("/")) for glob in globs)
