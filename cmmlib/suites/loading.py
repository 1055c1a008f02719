"""Suites by name."""

from __future__ import annotations

from typing import Any, cast

from .clip.suite import ClipSuite
from .mini.suite import MiniSuite
from .suite import Suite
from .variant import Variant

SUITES = {"mini": ("folder",), "clip": ("models_dir", "data_dir", "revisions", "accept_labels")}
"""What each suite takes besides `limit` and `precision`."""


def load_suite(name: str, *, limit: int | None = None, precision: str = "float32", **where: Any) -> Suite:
    """The suite of that name.

    Args:
        name: "mini" or "clip".
        limit: at most so many images per test set, evenly spaced; None for all.
        precision: in which images are scored, ``float32`` or ``bfloat16``.
        where: for "clip", where models and data sets come from: models_dir, data_dir, revisions, accept_labels; see
            `cmmlib.suites.clip.suite.ClipSuite`.  For "mini": folder, another zoo than the one that ships.

    Raises:
        ValueError: unknown name, an option that the suite does not take, or a bad one.
    """
    if name not in SUITES:
        raise ValueError(f"unknown suite {name!r}; known suites: {', '.join(SUITES)}")
    if unknown := where.keys() - set(SUITES[name]):
        takes = ", ".join(("limit", "precision", *SUITES[name]))
        raise ValueError(f"suite {name} does not take {', '.join(sorted(unknown))}; it takes {takes}")
    suite: Suite = MiniSuite(**where) if name == "mini" else ClipSuite(**where)
    if (limit, precision) == (None, "float32"):
        return suite
    return cast(Suite, Variant(suite, limit, precision))  # what it does not define itself it has from the suite
