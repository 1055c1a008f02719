"""Revisions that a user asks for: a mapping, a JSON file, or the ``sources.csv`` of another run."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...files import read_json

KINDS = {"models": "model", "datasets": "dataset"}
"""Kinds of repositories: in the names of folders and pins → as the hub and ``sources.csv`` call them."""


def asked_revisions(given: str | Path | Mapping[str, Any] | None) -> dict[str, str]:
    """{hub id, or ``models/<id>``, ``datasets/<id>``: commit, branch or tag}.

    Args:
        given: these, or pins as `cmmlib.suites.clip.pins` keeps them, or a file of either.

    Raises:
        ValueError: it is none of these.
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
        raise ValueError(f"{what}: no mapping of hub id to revision")
    for repo, pin in (given or {}).items():
        revision = pin.get("revision") if isinstance(pin, Mapping) else pin
        if not isinstance(revision, str) or not revision:
            raise ValueError(f'{what}: {repo!r} has {pin!r}, not a revision or {{"revision": …}}')
        if not revision.startswith("sha256:"):  # a local folder's; it says nothing about a hub
            revisions[repo] = revision
    return revisions


def _of_a_run(sources: Path) -> dict[str, str]:
    """{kind/id: revision} from the ``sources.csv`` that a run leaves beside its table."""
    folders = {kind: folder for folder, kind in KINDS.items()}
    with open(sources, newline="", encoding="utf-8") as file:
        return {f"{folders[row['kind']]}/{row['id']}": row["revision"] for row in csv.DictReader(file)}
