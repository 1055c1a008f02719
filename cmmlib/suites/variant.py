"""A suite that is scored on fewer images, or in another precision."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from .suite import Suite

if TYPE_CHECKING:  # datasets takes seconds to import
    from datasets import Dataset
    from pandas import DataFrame

PRECISIONS = ("float32", "bfloat16")


class Variant:
    """A suite that is scored on fewer images, or in another precision.  Its scores are kept apart from the suite's.

    A `limit` takes evenly spaced rows of a test set, since many data sets are sorted by class.

    Args:
        suite: gives everything else.
        limit: the largest number of images per test set, at least 1; None for all.
        precision: ``float32`` or ``bfloat16``.

    Raises:
        ValueError: a bad limit or precision.
    """

    def __init__(self, suite: Suite, limit: int | None = None, precision: str = "float32") -> None:
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise ValueError(f"limit is {limit!r}: give a number of images per test set, at least 1, or None for all")
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision!r}; choices: {', '.join(PRECISIONS)}")
        self.suite, self.limit, self.precision = suite, limit, precision

    def __getattr__(self, name: str) -> Any:
        if name == "suite":  # not set yet while unpickling
            raise AttributeError(name)
        return getattr(self.suite, name)

    def content_hash(self, backbone: str) -> str:
        """SHA-256 of the whole suite's hash, the limit and the precision."""
        return sha256(f"{self.suite.content_hash(backbone)} limit {self.limit} {self.precision}".encode()).hexdigest()

    def test_set(self, task_name: str, limit: int | None = None) -> Dataset:
        """At most `limit` rows of the suite's test set, evenly spaced."""
        return self.suite.test_set(task_name, limit or self.limit)

    def test_set_key(self, task_name: str) -> str:
        """The key of the suite's test set, and the limit."""
        return self.suite.test_set_key(task_name) + (f" limit {self.limit}" if self.limit else "")

    def trained(self, backbone: str) -> DataFrame:
        """No rows: the suite's are scored on all images, in its own precision."""
        return self.suite.trained(backbone).iloc[:0]
