"""What an export takes from the base's folder beside weights and configuration, and what it leaves behind."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..files import LFS_POINTER, flush
from ..models.checkpoint import WHOLE
from ..models.foreign_files import SHARD
from ..models.side_files import MAX_BYTES, files_below, is_code, side_files
from ..models.source import Source

_REPLACED = {"config.json", "README.md", *(f"{name}.index.json" for name in WHOLE)}


class Copied(NamedTuple):
    """The base's side files.

    Attributes:
        files: name in the base's folder → the file that is copied.
        left: what is not copied: files, and sub-folders with a ``/``, some with the reason in brackets.
    """

    files: dict[str, Path]
    left: list[str]

    def copy_to(self, folder: Path) -> None:
        """Copy the files, flushed to disk, with their sub-folders."""
        for name, path in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
            flush(folder / name)


def copied_files(base: Source) -> Copied:
    """What of the base's folder goes along with its merged weights; reads no file whole.

    Of a base that is a mere file among others (``tuned.safetensors``, not a folder's own ``model.safetensors``) nothing
    does: what lies beside it may belong to anything.
    """
    if base.folder is None:
        return Copied({}, [])
    found = files_below(base.folder)
    unfit = {name: reason for name, path in found.items() if (reason := _unfit(path))}
    chosen = [name for name in side_files(found) if name not in unfit]
    if not _is_own(base):
        return Copied({}, [name for name in chosen if "/" not in name])
    weights = {path.name for path in base.files}
    left: dict[str, None] = {}
    for name in sorted(found.keys() - set(chosen) - weights - _REPLACED):
        top, slash, _ = name.partition("/")
        whole_folder = slash and not any(other.startswith(top + "/") for other in chosen)
        left[top + "/" if whole_folder else name + (f" ({unfit[name]})" if name in unfit else "")] = None
    return Copied({name: found[name] for name in chosen}, list(left))


def _is_own(base: Source) -> bool:
    """Whether the base's files bear the names that a folder's model is read from."""
    name = base.files[0].name if base.files else ""
    return name in WHOLE or SHARD.fullmatch(name) is not None or "transformers_weights" in (base.config or {})


def _unfit(path: Path) -> str:
    """Why a file cannot be copied whatever its kind; else nothing."""
    if not path.exists():
        return "a symbolic link to nothing"
    if path.stat().st_size > MAX_BYTES:
        return f"{path.stat().st_size / 1e6:.0f} MB"
    with open(path, "rb") as file:
        return "a Git LFS pointer: run `git lfs pull`" if file.read(len(LFS_POINTER)) == LFS_POINTER else ""


def left_behind(base: Source, left: list[str], config: Mapping[str, Any] | None) -> str | None:
    """The sentence that tells what an export lacks of the base's folder; None where it lacks nothing."""
    code = [name for name in left if is_code(name)]
    if (config or {}).get("auto_map"):
        code.insert(0, "auto_map in config.json")
    parts = []
    if rest := [name for name in left if name not in code]:
        parts.append(f"not copied from {base.folder}: {', '.join(rest)}")
    if code:
        parts.append(f"custom code of {base.folder} is neither copied nor run: {', '.join(code)}; add it if you trust it")
    return "; ".join(parts) or None
