"""Which files of a data set's repository hold the split that is scored: by its card, else by their names."""

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
    """The YAML at the head of a data set's README.md, {} if there is none."""
    from huggingface_hub.repocard import metadata_load

    try:
        return metadata_load(path) or {}
    except Exception as error:  # yaml's own kinds, or not UTF-8
        raise ValueError(f"{path}: the YAML at its head cannot be read ({error})") from None


def split_files(names: Sequence[str], card: Mapping[str, Any], task: ClipTask) -> list[str]:
    """The files that hold the split that a task is scored on.

    As the card's ``configs`` say; without these, those that bear the split's name, in the configuration's folder if the
    task names a configuration.

    Args:
        names: all files of the repository.
        card: see `read_card`.

    Raises:
        ValueError: there are none, or only a script that would make them.
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
        raise ValueError(f"{where}: its split {task.split!r} is spread over folders: {', '.join(chosen)}")
    script = f"{task.dataset.split('/')[1]}.py"
    if not files and script in names:
        raise ValueError(
            f"{where} is a script ({script}), and scripts are no longer run. Give the hub's own conversion, "
            f'revisions={{"{task.dataset}": "refs/convert/parquet"}}, or data_dir with its Parquet files'
        )
    splits = ", ".join(sorted(split for split, chosen in found.items() if chosen)) or "none"
    raise ValueError(
        f"{where} has no files ({', '.join(_FORMATS)}) for split {task.split!r}; splits that it has: {splits}. Give "
        f"another revision of it (revisions), or data_dir with {task.dataset}/data/{task.split}-00000-of-00001.parquet"
    )


def _patterns(card: Mapping[str, Any], task: ClipTask) -> dict[str, list[str]] | None:
    """{split: globs} of the task's configuration; None where the card has no such section."""
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
    """Whether a file's or folder's name says that it is of a split: data/test-00000-of-00001.parquet, test/0.tar."""
    return re.search(rf"(^|[-._/]){split}([-._/]|\d)", name) is not None


def _matches(name: str, globs: Sequence[str]) -> bool:
    """As the hub's globs: a star does not cross folders, two do."""
    return any(fnmatch.fnmatchcase(name, glob) and ("**" in glob or glob.count("/") == name.count("/")) for glob in globs)
