"""Suites by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from .clip.suite import ClipSuite
from .mini.suite import MiniSuite
from .suite import Suite
from .text.suite import TextSuite
from .variant import Variant

SUITES = {
    "mini": ("folder",),
    "clip": ("models_dir", "data_dir", "revisions", "accept_labels", "subset"),
    "text": ("folder",),
}
"""The options of each suite besides `limit` and `precision`."""

_CLASSES: dict[str, Callable[..., Suite]] = {"mini": MiniSuite, "clip": ClipSuite, "text": TextSuite}


def load_suite(name: str, *, limit: int | None = None, precision: str = "float32", **where: Any) -> Suite:
    """Load a suite by name.

    Args:
        name: "mini", "clip" or "text".
        limit: the largest number of images or texts per test set, evenly spaced; None for all.
        precision: ``float32`` or ``bfloat16``, in which the encoder computes when it is scored.
        where: options of the suite.  For "clip": models_dir, data_dir, revisions, accept_labels and subset, see
            `cmmlib.suites.clip.suite.ClipSuite`.  For "mini" and "text": folder, a zoo other than the one that ships or lies
            in the cache.

    Raises:
        ValueError: the name or an option is unknown, or an option has a bad value.
        FileNotFoundError: an option names a folder that does not exist, or one without a complete zoo.
    """
    if name not in SUITES:
        raise ValueError(f"unknown suite {name!r}; known suites: {', '.join(SUITES)}")
    if unknown := where.keys() - set(SUITES[name]):
        takes = ", ".join(("limit", "precision", *SUITES[name]))
        raise ValueError(f"suite {name} does not take {', '.join(sorted(unknown))}; it takes {takes}")
    suite = _CLASSES[name](**where)
    if (limit, precision) == (None, "float32"):
        return suite
    return cast(Suite, Variant(suite, limit, precision))  # it takes everything else from the suite at run time
