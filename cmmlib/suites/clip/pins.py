"""Pinned revisions, in a JSON file of the cache that all processes share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...files import read_json, write_flushed
from ...locks import file_lock
from ...paths import cache_dir

Pin = dict[str, Any]
"""``revision``, and ``files`` for a repository on the hub or ``stamp`` for a local folder."""


def pins_path() -> Path:
    """The file of the pins: a JSON object, key → `Pin`.

    A key is ``models/<id>`` or ``datasets/<id>``, with ``@<revision>`` if one was asked for, or the path of a local folder.
    """
    return cache_dir() / "clip" / "revisions.json"


def read_pins() -> dict[str, Pin]:
    """All pins, by key.

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
    """Set the pin of `key` to what `make` returns for the present one (None if there is none), and return it.

    A lock makes several processes do this one after the other.
    """
    path = pins_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(path.with_suffix(".lock")):
        pins = read_pins()
        pin = make(pins.get(key))
        write_flushed(path, json.dumps(dict(sorted({**pins, key: pin}.items())), indent=1) + "\n")
    return pin
