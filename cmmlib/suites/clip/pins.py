"""Revisions that were pinned: a JSON file in the cache that all processes share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...files import read_json, write_flushed
from ...locks import file_lock
from ...paths import cache_dir

Pin = dict[str, Any]
"""``revision``, and ``files`` (of a repository on the hub) or ``stamp`` (of a folder)."""


def pins_path() -> Path:
    """Where revisions are pinned: a JSON object, ``models/<id>`` or ``datasets/<id>`` → {"revision": …}."""
    return cache_dir() / "clip" / "revisions.json"


def read_pins() -> dict[str, Pin]:
    """All pins by key.

    Raises:
        ValueError: the file is damaged.
    """
    path = pins_path()
    if not path.exists():
        return {}
    try:
        pins = read_json(path)
        if not all(isinstance(pin["revision"], str) for pin in pins.values()):
            raise TypeError
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError(f"{path} is damaged: remove it (revisions are then pinned anew)") from None
    return pins


def write_pin(key: str, make: Callable[[Pin | None], Pin]) -> Pin:
    """Pin what `make` gives, told what is pinned by now; of several processes each sees what the one before wrote."""
    path = pins_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(path.with_suffix(".lock")):
        pins = read_pins()
        pin = make(pins.get(key))
        write_flushed(path, json.dumps(dict(sorted({**pins, key: pin}.items())), indent=1) + "\n")
    return pin
