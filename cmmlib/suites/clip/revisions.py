"""Revisions that a user asks for: a mapping, a JSON file, or the ``sources.csv`` of another run."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...files import read_json

KINDS = {"models": "model", "datasets": "dataset"}
"""Kinds of repositories: in folder names and pins → on the hub and in ``sources.csv``."""


def asked_revisions(given: str | Path | Mapping[str, Any] | None) -> dict[str, str]:
    """The revisions that a user asks for: hub id, ``models/<id>`` or ``datasets/<id>`` → commit, branch or tag.

    Args:
        given: such a mapping, or pins as `cmmlib.suites.clip.pins` keeps them, or a JSON file of either, or the
            ``sources.csv`` of a run.  Hashes of local folders are left out, as they say nothing about a hub.

    Raises:
        ValueError: it is none of these.
        FileNotFoundError: there is no such file.
    """
    what = "revisions"
    if isinstance(given, str | Path):
        what = f"revisions={given}"
        path = Path(given).expanduser()
        try:
            given = _of_a_run(path) if path.suffix == ".csv" else read_json(path)
        except (ValueError, KeyError) as error:
            raise ValueError(f"{what}: {error}") from None
    revisions = {}
    if not isinstance(given or {}, Mapping):
        raise ValueError(f"{what}: expected a mapping of hub ids to revisions, got a {type(given).__name__}")
    for repo, pin in (given or {}).items():
        revision = pin.get("revision") if isinstance(pin, Mapping) else pin
        if not isinstance(revision, str) or not revision:
            raise ValueError(f'{what}: {repo!r} has {pin!r}, not a revision or {{"revision": …}}')
        if not revision.startswith("sha256:"):
            revisions[repo] = revision
    return revisions


def _of_a_run(sources: Path) -> dict[str, str]:
    """{kind/id: revision} from the ``sources.csv`` that a run leaves beside its table."""
    folders = {kind: folder for folder, kind in KINDS.items()}
    with open(sources, newline="", encoding="utf-8") as file:
        return {f"{folders[row['kind']]}/{row['id']}": row["revision"] for row in csv.DictReader(file)}
