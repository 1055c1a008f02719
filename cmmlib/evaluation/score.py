"""The outcome of scoring one model on one test set."""

from __future__ import annotations

from typing import NamedTuple


class Score(NamedTuple):
    """How many of a test set's images were classified right."""

    correct: int
    images: int

    @property
    def accuracy(self) -> float:
        """Per cent."""
        return 100 * self.correct / self.images
