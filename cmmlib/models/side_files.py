"""What belongs to a model beside its weights and configuration: tokenizers, processors, pooling, chat templates.

A rule and not a list of names, because every library brings its own; none of these files is ever run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

KINDS = frozenset((".json", ".txt", ".jinja", ".model", ".spm", ".codes", ".bpe", ".vocab", ".tiktoken"))
"""Endings of side files' names."""

MAX_BYTES = 128 << 20
"""Longest side file that is copied; the largest tokenizers have some 40 MB."""

_WRITTEN_ANEW = ("config.json", "adapter_config.json", "README.md")


def side_files(names: Iterable[str]) -> list[str]:
    """Those among a model's files that are side files, sorted.

    A sub-folder belongs to the model as a whole or not at all: one that holds anything else (weights, code) is another
    model or a part that is not merged.

    Args:
        names: all files of the folder or repository, with ``/`` between folders.
    """
    names = [name for name in names if not _is_hidden(name)]
    others = {_top(name) for name in names if "/" in name and not _is_kind(name)}
    return sorted(name for name in names if _is_kind(name) and name not in _WRITTEN_ANEW and _top(name) not in others)


def _is_hidden(name: str) -> bool:
    """Whether a file, or a folder that it is in, has a name with a dot in front (``.git``, ``.cache``)."""
    return any(part.startswith(".") for part in PurePosixPath(name).parts)


def is_code(name: str) -> bool:
    """Whether a file is Python code."""
    return name.endswith(".py")


def _is_kind(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in KINDS and not name.endswith(".index.json")


def _top(name: str) -> str:
    """The sub-folder that a file is in; the file itself where there is none."""
    return name.partition("/")[0]


def files_below(folder: Path) -> dict[str, Path]:
    """Every file below a folder by its name relative to it; of hidden files and folders none, and no linked folder."""
    found = {}
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in (name for name in files if not name.startswith(".")):
            path = Path(parent, name)
            found[path.relative_to(folder).as_posix()] = path
    return found
