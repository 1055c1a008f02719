"""Making a test set's folder: by one process while the others wait, whole or not at all, and clean after a kill."""

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

PATIENCE = 3  # seconds that waiting goes without saying


def make_folder(folder: Path, write: Callable[[Path], None], damaged: int | None) -> None:
    """Have a folder made, unless another process has done so meanwhile.

    Args:
        write: fills an empty folder.
        damaged: `identity` of a folder that is no good and is to be replaced; None if there is none.
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
            except OSError:  # another process was first, where there are no locks
                if not folder.exists():
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def identity(folder: Path) -> int | None:
    """Tells ``pixels.npy`` from one that took its place; its time would not, as damage may change that too."""
    try:
        return (folder / "pixels.npy").stat().st_ino
    except OSError:
        return None


@contextlib.contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of a folder that is being made.

    Gives whether it is held: not where another holds it and ``wait`` is false, and not where there are no locks (some
    network file systems); there two processes may both make the folder, and the first to finish wins.
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
    except OSError:  # no locks here
        return False
    return True


def _sweep(folder: Path) -> None:
    """Remove what killed processes left of this and any other set; the lock of ``folder`` is held."""
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
