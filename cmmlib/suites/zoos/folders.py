"""The folders of a zoo, which appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def folder_of(zoo: Path, backbone: str) -> Path:
    """A zoo's folder for one backbone: its base, deltas, accuracies and checksums of towers."""
    return zoo / backbone.replace("/", "-")


def ensure_folder(target: Path, write: Callable[[Path], None], intact: Callable[[Path], bool]) -> None:
    """Write the folder `target` unless it is intact.  Safe when the process is killed, and for several processes at once.

    Args:
        write: fills an empty folder.
        intact: whether a folder's content is right; may raise on damage.
    """
    if _holds(intact, target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        new, old = partial / "new", partial / "old"
        new.mkdir()
        write(new)
        if target.exists() and not _holds(intact, target):
            os.replace(target, old)
        try:
            os.replace(new, target)
        except OSError:  # another process may have been first
            if not target.exists():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _holds(intact: Callable[[Path], bool], folder: Path) -> bool:
    try:
        return folder.exists() and intact(folder)
    except Exception:  # a damaged file can fail in any reader, in any way
        return False
