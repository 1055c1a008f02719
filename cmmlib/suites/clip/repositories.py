"""Repositories of the suite, on a hub or in local folders, each at its pinned revision."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from ...models import hub
from .pins import Pin, pins_path, read_pins, write_pin
from .revisions import KINDS, asked_revisions


class Repositories:
    """Files of models and data sets, by hub id.

    Branches move, and scores from two of their states must not mix.  So the first use of a repository pins the commit of
    its branch in ``cache_dir() / "clip" / "revisions.json"``, and every later use asks for that commit.

    Args:
        models_dir, data_dir: folders that hold the repositories as ``<folder>/<owner>/<name>/…``; None for the hub.
        revisions: hub id (or ``models/<id>``, ``datasets/<id>``) → commit, branch or tag; or a JSON file of these, such as
            ``revisions.json``; or the ``sources.csv`` of another run.

    Raises:
        FileNotFoundError: models_dir or data_dir does not exist.
        ValueError: see `cmmlib.suites.clip.revisions.asked_revisions`.
    """

    def __init__(
        self,
        models_dir: str | Path | None = None,
        data_dir: str | Path | None = None,
        revisions: str | Path | Mapping[str, Any] | None = None,
    ) -> None:
        self.folders: dict[str, Path] = {}
        for kind, folder, option in (("models", models_dir, "models_dir"), ("datasets", data_dir, "data_dir")):
            if folder is not None:
                path = Path(folder).expanduser().absolute()
                if not path.is_dir():
                    raise FileNotFoundError(f"{option}: no folder {path}")
                self.folders[kind] = path
        self.asked = asked_revisions(revisions)
        self.sent: dict[str, Pin] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Includes the pins, so that another machine, with its own cache, asks for the same commits."""
        return {**self.__dict__, "sent": self._pins()}

    def _pins(self) -> dict[str, Pin]:
        return {**read_pins(), **self.sent}

    def names(self, kind: str, repo: str) -> list[str]:
        """The paths of a repository's files within it; of a local folder, without hidden ones."""
        if (folder := self._local(kind, repo)) is None:
            return self._pinned(kind, repo)["files"]
        paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        return sorted(path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts))

    def fetch(self, kind: str, repo: str, names: Iterable[str]) -> Path:
        """The folder of a repository, after fetching these files of it from the hub if they are not there yet."""
        if (folder := self._local(kind, repo)) is None:
            return hub.download(repo, list(names), self._pinned(kind, repo)["revision"], KINDS[kind])
        return folder

    def path(self, kind: str, repo: str, name: str) -> Path | None:
        """Where a file lies on this machine; None if it is on the hub alone."""
        if (folder := self._local(kind, repo)) is None:
            return hub.cached(repo, name, self._pinned(kind, repo)["revision"], KINDS[kind])
        return folder / name

    def open(self, kind: str, repo: str, name: str, **buffer: int) -> BinaryIO:
        """Open a file where it lies, on this machine or the hub; see `cmmlib.models.hub.open_file`."""
        if (path := self.path(kind, repo, name)) is not None:
            return open(path, "rb")
        return hub.open_file(repo, name, self._pinned(kind, repo)["revision"], KINDS[kind], **buffer)

    def sizes(self, kind: str, repo: str, names: Iterable[str]) -> dict[str, int]:
        """The sizes of files in bytes, of those on the hub as it states them now.

        Raises:
            FileNotFoundError: the hub cannot be reached, and the local cache lacks one of the files.
        """
        here = {name: self.path(kind, repo, name) for name in names}
        try:
            stated = {} if kind in self.folders else hub.sizes(repo, self._pinned(kind, repo)["revision"], KINDS[kind])
        except FileNotFoundError:  # with all files in the cache a run needs no hub
            if not all(here.values()):
                raise
            stated = {}
        return {name: path.stat().st_size if path else stated[name] for name, path in here.items()}

    def known_revision(self, kind: str, repo: str, names: Iterable[str]) -> str | None:
        """`revision`, but None for a local folder that has not been used yet, whose files would have to be hashed."""
        if kind in self.folders and self._key(kind, repo) not in self._pins():
            return None
        return self.revision(kind, repo, names)

    def revision(self, kind: str, repo: str, names: Iterable[str]) -> str:
        """The pinned commit, or for a local folder "sha256:" and the hash of these files.

        Raises:
            ValueError: a local folder has changed since it was pinned.
        """
        if (folder := self._local(kind, repo)) is None:
            return self._pinned(kind, repo)["revision"]
        paths = {name: folder / name for name in sorted(names)}
        stamp = [[name, path.stat().st_size, path.stat().st_mtime_ns] for name, path in paths.items()]
        key = self._key(kind, repo)
        known = self._pins().get(key)
        if known is not None and known.get("stamp") == stamp:
            return known["revision"]
        revision = f"sha256:{_files_hash(paths)}"
        if known is not None and known["revision"] != revision:
            raise ValueError(
                f"{folder} has changed since it was first used, and scores of both states would mix: restore it, or "
                f"use another CMMLIB_CACHE, or remove {json.dumps(key)} from {pins_path()}"
            )
        write_pin(key, lambda _: {"revision": revision, "stamp": stamp})
        return revision

    def sources(self, wanted: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
        """A row for each of these repositories, given as (kind, id), that is pinned; see `cmmlib.suites.suite.Suite`."""
        pins = self._pins()
        return [
            {
                "kind": KINDS[kind],
                "id": repo,
                "place": str(self.folders[kind] / repo) if kind in self.folders else "hub",
                "revision": pins[key]["revision"],
            }
            for kind, repo in wanted
            if (key := self._key(kind, repo)) in pins
        ]

    def _local(self, kind: str, repo: str) -> Path | None:
        if kind not in self.folders:
            return None
        folder = self.folders[kind] / repo
        if not folder.is_dir():
            option = {"models": "models_dir", "datasets": "data_dir"}[kind]
            raise FileNotFoundError(
                f"{option}={self.folders[kind]} holds no {repo}: no folder {folder}. Copy the {KINDS[kind]}'s repository "
                f"there, or leave {option} out to use the hub"
            )
        return folder

    def _key(self, kind: str, repo: str) -> str:
        if kind in self.folders:
            return str(self.folders[kind] / repo)
        asked = self._asked(kind, repo)
        return f"{kind}/{repo}" + (f"@{asked}" if asked else "")

    def _asked(self, kind: str, repo: str) -> str | None:
        return self.asked.get(f"{kind}/{repo}", self.asked.get(repo))

    def _pinned(self, kind: str, repo: str) -> Pin:
        key = self._key(kind, repo)
        known = self._pins().get(key)
        if known is None:
            commit, files = hub.listing(repo, self._asked(kind, repo), KINDS[kind])
            # if two processes resolve the branch at the same time, both use what the first one wrote
            known = write_pin(key, lambda first: first or {"revision": commit, "files": files})
        return known


def _files_hash(paths: Mapping[str, Path]) -> str:
    digest = sha256()
    for name, path in paths.items():
        with open(path, "rb") as file:
            # name and size first, so that the hash tells where one file ends and the next begins
            digest.update(f"{name}\0{path.stat().st_size}\0".encode())
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
