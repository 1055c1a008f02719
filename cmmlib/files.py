"""Reading JSON from untrusted files, and writing files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAX_HEADER = 16 << 20
"""Longest header that is parsed, in bytes.  Real headers take about 100 bytes per tensor.  Parsed JSON takes about 20 times
its length in memory, so this also bounds what a hostile file can make us allocate."""

LFS_POINTER = b"version https://git-lfs"
"""How a Git LFS pointer begins: the small text file that stands for a large one."""


def parse_json(text: bytes | str) -> Any:
    """Parse JSON strictly.

    Raises:
        ValueError: it is not JSON or not UTF-8, a key occurs twice, a number is NaN or infinite, a key cannot be encoded,
            or it is nested too deeply.  The message says which, in a few words, and does not name a file.
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
    """Parse the JSON in a file of at most ``limit`` bytes.

    Raises:
        ValueError: the file is longer, or see `parse_json`.
    """
    with open(path, "rb") as file:
        text = file.read(limit + 1)
    if len(text) > limit:
        raise ValueError(f"longer than {limit} bytes")
    return parse_json(text)


def require_content(path: Path) -> None:
    """Raises ValueError for what may stand in a downloaded file's place: nothing, a Git LFS pointer or a web page."""
    with open(path, "rb") as file:
        start = file.read(64)
    if not start:
        raise ValueError(f"{path} is empty (0 bytes), as a download that broke off leaves it; fetch it again")
    if start.startswith(LFS_POINTER):
        raise ValueError(
            f"{path} is a Git LFS pointer, not the file itself: the repository was cloned without Git LFS; run "
            f"`git lfs pull` in {path.parent}"
        )
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise ValueError(f"{path} is a web page, not the file itself; download it from …/resolve/…, not from …/blob/…")


def read_config(path: Path, of: str) -> dict[str, Any]:
    """Read a configuration file that holds a JSON object.

    Args:
        of: what it configures ("a model"), for the message.

    Raises:
        ValueError: the file holds something else.
    """
    require_content(path)
    try:
        config = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); fetch it again") from None
    if not isinstance(config, dict):
        raise ValueError(f"{path} holds a {type(config).__name__}, not the configuration of {of}")
    return config


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, without which a rename in it may be lost in a crash."""
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
    """Write ``path`` under a temporary name: flushed and renamed when the block ends, removed when it fails.

    If the process is killed, the temporary file stays, and the next writer overwrites it.
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
    """Write a text file in UTF-8, flushed, whole or not at all (`whole`).

    A byte of a path that is no text in any encoding is written as ``\\udcXX``, which is also JSON's way.
    """
    with whole(path) as temporary:
        temporary.write_bytes(text.encode(errors="backslashreplace"))


@contextlib.contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Fill a temporary folder that becomes ``target`` when the block ends, and is removed when it fails.

    The folder's entries are flushed, its files are not.  A link to an empty folder stays a link.
    """
    target = behind_link(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name}.{secrets.token_hex(4)}"
    temporary.mkdir()  # by the umask, unlike tempfile's
    try:
        yield temporary
        sync_folder(temporary)
        os.replace(temporary, target)
        sync_folder(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> Path:
    """`write_flushed`, after making the file's folder if it does not exist.  Returns ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_flushed(path, text)
    return path


def nearest_existing(folder: Path) -> Path:
    """``folder``, or of the folders above it the nearest that exists: what tells the disk that it is or will be on."""
    while not folder.exists():
        folder = folder.parent
    return folder


def free_space(folder: Path) -> int:
    """Free bytes on the disk that holds ``folder``, which need not exist yet."""
    return shutil.disk_usage(nearest_existing(folder)).free


def require_space(folder: Path, needed: int) -> None:
    """Raise OSError if the disk that holds ``folder`` has fewer than ``needed`` free bytes."""
    free = free_space(folder)
    if free < needed:
        raise OSError(
            f"{folder}: no disk space: {needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free; free some, or "
            "choose a folder on another disk"
        )


def require_empty(folder: Path) -> None:
    """Raise FileExistsError unless ``folder`` does not exist or is an empty folder."""
    if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        what = "and is not empty" if folder.is_dir() else "and is a file, where a folder is to be made"
        raise FileExistsError(f"{folder} exists {what}; choose another name or remove it")


def behind_link(folder: Path) -> Path:
    """The folder that a link points at; any other path as it is, so that messages call it what the user did."""
    return Path(os.path.realpath(folder)) if folder.is_symlink() else folder


def sweep_leftovers(folder: Path, infix: str = "") -> None:
    """Remove the temporary folders that a killed process left beside ``folder``.

    Args:
        infix: what their names have between that of ``folder`` and the eight characters at their end.
    """
    folder = behind_link(folder)
    left = re.compile(re.escape(f".{folder.name}.{infix}") + r"[a-z0-9_]{8}")
    for path in folder.parent.iterdir() if folder.parent.is_dir() else ():
        if left.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
