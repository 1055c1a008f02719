"""Making a test set's folder: one process makes it while others wait, and it appears whole or not at all."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ..locks import FileLock, Timeout, file_lock

PATIENCE = 3  # seconds to wait before saying so


def make_folder(folder: Path, write: Callable[[Path], None], damaged: int | None) -> None:
    """Make a folder, unless another process makes it first.

    Args:
        write: fills an empty folder.
        damaged: the `identity` of a damaged folder to replace; None if there is none.
    """
    with _locked(folder) as alone:
        if alone:
            _sweep(folder)
        if folder.exists() and identity(folder) != damaged:
            return
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            new = partial / "new"
            new.mkdir()
            write(new)
            if folder.exists() and identity(folder) == damaged:
                os.replace(folder, partial / "old")
            try:
                os.replace(new, folder)
            except OSError:  # without locks another process may have been first
                if not folder.exists():
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def identity(folder: Path) -> int | None:
    """The inode of ``pixels.npy``, which tells it from a later replacement; None without that file.

    Its modification time would not do, as damage may change it too.
    """
    try:
        return (folder / "pixels.npy").stat().st_ino
    except OSError:
        return None


@contextlib.contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Take the lock of a folder that is being made; yields whether it is held.

    It is not held if another process has it and ``wait`` is false, nor on a file system without locks (some network file
    systems).  There two processes may both make the folder, and the first to finish wins.
    """
    lock = file_lock(folder.parent / f".{folder.name}.lock")
    try:
        yield _taken(lock, folder, wait)
    finally:
        lock.release()


def _taken(lock: FileLock, folder: Path, wait: bool) -> bool:
    try:
        lock.acquire(timeout=PATIENCE if wait else 0)
    except Timeout:
        if not wait:
            return False
        print(f"waiting for another process that prepares {folder}", file=sys.stderr)
        lock.acquire()
    except OSError:  # a file system without locks
        return False
    return True


def _sweep(folder: Path) -> None:
    """Remove what killed processes left of this and other test sets.  The caller holds the lock of ``folder``."""
    for path in folder.parent.iterdir():
        if not fnmatch.fnmatchcase(path.name, ".*.????????") or not path.is_dir():
            continue
        name = path.name.split(".")[1]
        if name == folder.name:
            shutil.rmtree(path, ignore_errors=True)
            continue
        with _locked(folder.parent / name, wait=False) as alone:
            if alone:
                shutil.rmtree(path, ignore_errors=True)
