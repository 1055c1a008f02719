"""Estimating the time left of a grid, from what each kind of work has cost so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SCORING = "scoring"  # a kind of work, counted in inputs; every other kind is a row's label, counted in merged models


@dataclass
class Pace:
    """What each kind of work costs one worker, learned from finished work.

    Attributes:
        amount, seconds: kind → how much of it was done, and the seconds it took.
    """

    amount: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def learn(self, kind: str, amount: float, seconds: float) -> None:
        """Add finished work."""
        self.amount[kind] = self.amount.get(kind, 0) + amount
        self.seconds[kind] = self.seconds.get(kind, 0) + seconds

    def estimate(self, left: Mapping[str, float], workers: int) -> tuple[float, list[str]]:
        """Estimate the time until ``left`` (kind → amount) is done.

        Returns:
            Seconds for the kinds that have been timed, and the names of the kinds that have not.
        """
        unknown = sorted(kind for kind, amount in left.items() if amount > 0 and not self.amount.get(kind))
        known = (amount * self.seconds[kind] / self.amount[kind] for kind, amount in left.items() if self.amount.get(kind))
        return sum(known) / workers, unknown

    def describe(self, left: Mapping[str, float], workers: int) -> str:
        """The estimate in words."""
        seconds, unknown = self.estimate(left, workers)
        named = " and ".join(unknown) if len(unknown) <= 2 else f"{len(unknown)} rows"
        return f"about {duration(seconds)} left" + (f", and {named} not timed yet" if unknown else "")


def duration(seconds: float) -> str:
    """A duration in words: "40 s", "12 min", "3 h 20 min" or "2 d 4 h"."""
    if seconds < 99.5:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"
