"""Pictures as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ...files import whole

# without what differs from run to run
ENDINGS: dict[str, dict[str, Any]] = {"png": {"Software": None}, "pdf": {"CreationDate": None}}


def save(figure: Figure, path: str | Path) -> list[Path]:
    """Write ``<path>.png`` and ``<path>.pdf``, each whole or not at all, the same bytes for the same picture."""
    written = []
    for ending, metadata in ENDINGS.items():
        target = Path(f"{path}.{ending}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole(target) as temporary:
            figure.savefig(temporary, format=ending, metadata=metadata, bbox_inches="tight", pad_inches=0.02)
        written.append(target)
    return written
