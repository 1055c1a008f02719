"""The folder that a merge in progress lives in: ``state.json``, ``running-<generation>.safetensors``, ``lock``.

A step writes the next generation of running tensors beside the present one; renaming ``state.json``, which names the
generation, is the commit.  Until then the old state stands, from then on the new one does; what an interrupted step left
is swept on opening.  Everything is flushed to disk before it gets its name.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from ..files import read_json, sync_folder, write_flushed
from ..locks import NO_LOCKS, Timeout, file_lock
from .state_json import FORMAT, VERSION, fault_of, upgraded

_OURS = re.compile(r"running-[1-9][0-9]{0,8}\.safetensors|\.running-[1-9][0-9]{0,8}\.safetensors\.tmp|\.state\.json\.tmp")


class Generation(Protocol):
    """A file of accumulated tensors that is being written (`cmmlib.merging.accumulated.OnDiskDraft`)."""

    path: Path

    def close(self) -> object:
        """Have it whole on disk, under its name."""

    def discard(self) -> None:
        """Forget it."""


class StateInUse(BlockingIOError):
    """Another process is writing this state."""


class NoLocks(OSError):
    """The state's file system has no locks, without which two processes could write at once."""


class StateFolder:
    """A state on disk.

    Args:
        path: its folder, which need not exist yet.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)

    def require_free(self) -> None:
        """Raises FileExistsError if anything lies there but what an interrupted start left."""
        ours = self.path.is_dir() and all(p.name == "lock" or _OURS.fullmatch(p.name) for p in self.path.iterdir())
        if os.path.lexists(self.path) and not ours:
            raise FileExistsError(f"{self.path} exists and is not empty; choose another name or remove it")

    @contextlib.contextmanager
    def created(self) -> Iterator[None]:
        """Make the folder; if the block fails, nothing of it stays."""
        is_new = not self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            yield
        except BaseException:
            if is_new and not (self.path / "state.json").exists():
                (self.path / "lock").unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    self.path.rmdir()
            raise

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock, which the system releases when the process ends, however it ends.

        Raises:
            StateInUse: another process holds it.
            NoLocks: the file system has none.
        """
        lock = file_lock(self.path / "lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise StateInUse(f"{self.path} is in use by another process; try again when it has finished") from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            raise NoLocks(
                f"{self.path / 'lock'}: this file system has no locks ({error.strerror}); keep the state on another one, "
                "or use `cmm merge`, which needs none"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def record(self) -> dict[str, Any]:
        """The parsed ``state.json``.

        Raises:
            FileNotFoundError: there is no state here.
            ValueError: it is damaged, or of another version of cmmlib.
        """
        file = self.path / "state.json"
        if not file.is_file():
            raise FileNotFoundError(f"{self.path} holds no state (no state.json); begin one with `cmm start`")
        try:
            record = upgraded(read_json(file, limit=256 << 20))  # one of our own, which grows with every model
        except ValueError as error:
            raise ValueError(f"{file} is damaged ({error}); restore the state from a backup") from None
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise ValueError(f"{file} is not the state of a merge; begin one with `cmm start`")
        if record.get("version") != VERSION:
            raise ValueError(
                f"{file} is a state of version {record.get('version')!r}, this cmmlib reads version {VERSION}; "
                f"go on with the cmmlib that wrote it ({record.get('cmmlib')})"
            )
        fault = fault_of(record)
        if fault:
            raise ValueError(f"{file} is damaged ({fault}); restore the state from a backup")
        return record

    def generation(self, name: str) -> Path:
        """The file of accumulated tensors that the record names.

        Raises:
            ValueError: it is missing.
        """
        path = self.path / name
        if not path.is_file():
            raise ValueError(f"{path} is missing, and {self.path / 'state.json'} names it; restore it from a backup")
        return path

    def sweep(self, record: Mapping[str, Any]) -> None:
        """Remove what an interrupted step left; only under the lock."""
        for path in self.path.iterdir():
            if _OURS.fullmatch(path.name) and path.name != record["running"]:
                path.unlink(missing_ok=True)

    def commit(self, record: Mapping[str, Any], draft: Generation | None) -> None:
        """Make ``draft`` and ``record`` what stands, or nothing; only under the lock."""
        if draft is not None:
            draft.close()
            sync_folder(self.path)  # the file's name must be on disk before the JSON that names it
        text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_flushed(self.path / "state.json", text)

    def abandon(self, draft: Generation) -> None:
        """Forget a draft after an error, unless the error came when it had just been committed."""
        with contextlib.suppress(OSError, ValueError):
            if self.record()["running"] == draft.path.name:
                return
        draft.discard()

    def settle(self, record: Mapping[str, Any]) -> None:
        """After the commit: make it last, and remove the generation before."""
        sync_folder(self.path)
        self.sweep(record)
