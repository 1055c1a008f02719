"""The score of one model on one test set."""

from __future__ import annotations

from typing import NamedTuple


class Score(NamedTuple):
    """How many images (or texts) of a test set were classified correctly, and how many there are."""

    correct: int
    images: int

    @property
    def accuracy(self) -> float:
        """The share that was classified correctly, in per cent."""
        return 100 * self.correct / self.images
