"""How long a grid will take: what each kind of work has cost so far, and how much of it is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SCORING = "scoring"  # its amount is counted in images; any other kind is a row's label, counted in merged models


@dataclass
class Pace:
    """Seconds that each kind of work takes one worker, learned as it is done.

    Attributes:
        amount, seconds: kind → how much of it has been done, and in how much time.
    """

    amount: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def learn(self, kind: str, amount: float, seconds: float) -> None:
        """So much of a kind of work was done, in so many seconds."""
        self.amount[kind] = self.amount.get(kind, 0) + amount
        self.seconds[kind] = self.seconds.get(kind, 0) + seconds

    def estimate(self, left: Mapping[str, float], workers: int) -> tuple[float, list[str]]:
        """Seconds until ``left`` (kind → amount) is done by so many workers, and the kinds that have not been timed yet."""
        unknown = sorted(kind for kind, amount in left.items() if amount > 0 and not self.amount.get(kind))
        known = (amount * self.seconds[kind] / self.amount[kind] for kind, amount in left.items() if self.amount.get(kind))
        return sum(known) / workers, unknown

    def describe(self, left: Mapping[str, float], workers: int) -> str:
        """`estimate` in words."""
        seconds, unknown = self.estimate(left, workers)
        named = " and ".join(unknown) if len(unknown) <= 2 else f"{len(unknown)} rows"
        return f"about {duration(seconds)} left" + (f", and {named} not timed yet" if unknown else "")


def duration(seconds: float) -> str:
    """ "40 s", "12 min", "3 h 20 min", "2 d 4 h"."""
    if seconds < 99.5:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"
