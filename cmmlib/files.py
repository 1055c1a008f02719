"""Small files: JSON from strangers, and writing so that what has a name is whole and on disk."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAX_HEADER = 16 << 20
"""Longest header that is parsed, in bytes.  Real ones are some 100 bytes per tensor; parsed JSON takes some 20 times
its length in memory, which is all that a hostile file can make us allocate."""


def parse_json(text: bytes | str) -> Any:
    """JSON from a stranger: duplicate keys, NaN, bottomless nesting and names that no encoding holds are errors.

    Raises:
        ValueError: what is wrong, in a few words.
    """

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) != len(items):
            raise ValueError("a name occurs twice")
        for key in result:
            key.encode()  # a lone surrogate cannot be printed, hashed or written
        return result

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    try:
        return json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except UnicodeError:
        raise ValueError("text that is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON at character {error.pos}: {error.msg}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json(path: Path, limit: int = MAX_HEADER) -> Any:
    """The JSON in a file of at most ``limit`` bytes.

    Raises:
        ValueError: see `parse_json`, and a file that is too long.
    """
    with open(path, "rb") as file:
        text = file.read(limit + 1)
    if len(text) > limit:
        raise ValueError(f"longer than {limit} bytes")
    return parse_json(text)


def read_config(path: Path, of: str) -> dict[str, Any]:
    """The JSON object in a file that configures ``of`` ("a model").

    Raises:
        ValueError: it is something else.
    """
    try:
        config = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); fetch it again") from None
    if not isinstance(config, dict):
        raise ValueError(f"{path} holds a {type(config).__name__}, not the configuration of {of}")
    return config


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries: a rename is only as lasting as the folder that holds the name."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Not every file system can (SMB, FUSE).  The rename is whole without it, only when it reaches the disk is open.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def flush(path: Path) -> None:
    """Flush a written file to disk."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary name to write ``path`` under: flushed and renamed when the block ends, gone when it fails.

    What a killed process leaves under that name the next one overwrites.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        flush(temporary)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_flushed(path: Path, text: str) -> None:
    """Write a text file whole, in UTF-8: to a temporary name, flushed, renamed.

    A byte of a path that is no text in any encoding is written as ``\\udcXX``, which is also JSON's way.
    """
    with whole(path) as temporary:
        temporary.write_bytes(text.encode(errors="backslashreplace"))


@contextlib.contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``target`` when the block ends well, and vanishes when it does not.

    A link to an empty folder stays a link.
    """
    target = behind_link(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        yield temporary
        temporary.chmod(0o755)
        sync_folder(temporary)
        os.replace(temporary, target)
        sync_folder(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> Path:
    """`write_flushed`, with the folder that the file is in where there is none yet; gives the path back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_flushed(path, text)
    return path


def free_space(folder: Path) -> int:
    """Bytes left on the disk that holds ``folder``, or will when it is made."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def require_space(folder: Path, needed: int) -> None:
    """Raises OSError if the disk that holds ``folder`` has fewer than ``needed`` bytes left."""
    free = free_space(folder)
    if free < needed:
        raise OSError(
            f"{folder}: no disk space: {needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free; free some, or "
            "choose a folder on another disk"
        )


def require_empty(folder: Path) -> None:
    """Raises FileExistsError unless ``folder`` is free to be written."""
    if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists and is not empty; choose another name or remove it")


def behind_link(folder: Path) -> Path:
    """The folder that a link points at; any other path as it is, so that messages call it what the user did."""
    return Path(os.path.realpath(folder)) if folder.is_symlink() else folder


def sweep_leftovers(folder: Path, infix: str = "") -> None:
    """Remove the temporary folders beside ``folder`` that a killed process left, as `tempfile` names them."""
    folder = behind_link(folder)
    left = re.compile(re.escape(f".{folder.name}.{infix}") + r"[a-z0-9_]{8}")
    for path in folder.parent.iterdir() if folder.parent.is_dir() else ():
        if left.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
