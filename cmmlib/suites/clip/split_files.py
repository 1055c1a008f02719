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


def read_card(path: Path) -> dict[str, Any]:
    """The YAML at the head of a data set's README.md, {} if there is none; ValueError if it cannot be read."""
    from huggingface_hub.repocard import metadata_load

    try:
        return metadata_load(path) or {}
    except Exception as error:  # yaml's own kinds, or not UTF-8
        raise ValueError(f"{path}: the YAML at its head cannot be read ({error})") from None


def split_files(names: Sequence[str], card: Mapping[str, Any], task: ClipTask) -> list[str]:
    """The files that hold the split that a task is scored on.

    The card's ``configs`` name them.  Without ``configs``, they are the files with the split's name in their path, in the
    configuration's folder if the task names a configuration.

    Args:
        names: all files of the repository.
        card: see `read_card`.

    Raises:
        ValueError: there are none, or they are in several folders, or the repository has only a script to make them.
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
    if chosen and len({PurePosixPath(name).parent for name in chosen}) == 1:
        return chosen
    where = f"data set {task.dataset}" + (f", configuration {task.config}" if task.config else "")
    if chosen:
        raise ValueError(f"{where}: the files of split {task.split!r} are spread over folders: {', '.join(chosen)}")
    script = f"{task.dataset.split('/')[1]}.py"
    if not files and script in names:
        raise ValueError(
            f"{where} is a script ({script}), which datasets no longer runs. Give the hub's own conversion, "
            f'revisions={{"{task.dataset}": "refs/convert/parquet"}}, or data_dir with its Parquet files'
        )
    splits = ", ".join(sorted(split for split, chosen in found.items() if chosen)) or "none"
    raise ValueError(
        f"{where} has no files ({', '.join(_FORMATS)}) for split {task.split!r}; it has these splits: {splits}. Give "
        f"another revision of it (revisions), or data_dir with {task.dataset}/data/{task.split}-00000-of-00001.parquet"
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


def _bears(name: str, split: str) -> bool:
    """Whether a path names a split, as in data/test-00000-of-00001.parquet and test/0.tar."""
    return re.search(rf"(^|[-._/]){split}([-._/]|\d)", name) is not None


def _matches(name: str, globs: Sequence[str]) -> bool:
    """Whether a path matches any glob as on the hub: ``*`` stays within a folder, ``**`` crosses folders."""
    return any(fnmatch.fnmatchcase(name, glob) and ("**" in glob or glob.count("/") == name.count("/")) for glob in globs)
