"""The grid's progress bar."""

from __future__ import annotations

import time
from collections.abc import Mapping

from tqdm import tqdm

from .time_left import SCORING, Pace

_BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} classified [{elapsed}{postfix}]"


class Progress:
    """A bar over the inputs to classify, with the estimated time left.

    Args:
        name: shown before the bar.
        left: kind of work → amount left (`cmmlib.experiments.time_left`).
        pace: gives the estimate, and learns from finished work.
        jobs: number of workers.
    """

    def __init__(self, name: str, left: Mapping[str, float], pace: Pace, jobs: int) -> None:
        self.left, self.pace, self.jobs, self.total = dict(left), pace, jobs, left[SCORING]
        self.bar = tqdm(total=self.total, unit="input", unit_scale=True, desc=name, bar_format=_BAR)
        self.described = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.bar.set_postfix_str("")
        if kind is None:
            self.bar.update(self.total - self.bar.n)  # the rest was scored by another process
        self.bar.close()

    def done(self, kind: str, amount: float, seconds: float) -> None:
        """Count finished work; a `cmmlib.experiments.sequence.Done`."""
        self.pace.learn(kind, amount, seconds)
        self.left[kind] = max(self.left.get(kind, 0) - amount, 0)
        if time.monotonic() > self.described + 1:
            self.bar.set_postfix_str(self.pace.describe(self.left, self.jobs), refresh=kind != SCORING)
            self.described = time.monotonic()
        if kind == SCORING:
            self.bar.update(min(amount, self.total - self.bar.n))
