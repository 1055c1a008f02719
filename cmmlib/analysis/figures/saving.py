"""Saving figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ...files import whole

# metadata without what differs between runs and versions
ENDINGS: dict[str, dict[str, Any]] = {"png": {"Software": None}, "pdf": {"CreationDate": None}}


def save(figure: Figure, path: str | Path) -> list[Path]:
    """Write ``<path>.png`` and ``<path>.pdf``, and return their paths.

    Each file appears whole or not at all, and the same figure gives the same bytes.
    """
    written = []
    for ending, metadata in ENDINGS.items():
        target = Path(f"{path}.{ending}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole(target) as temporary:
            figure.savefig(temporary, format=ending, metadata=metadata, bbox_inches="tight", pad_inches=0.02)
        written.append(target)
    return written
