"""The grid's progress bar."""

from __future__ import annotations

import time
from collections.abc import Mapping

from tqdm import tqdm

from .time_left import SCORING, Pace

_BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} images [{elapsed}{postfix}]"


class Progress:
    """A bar over the images to classify, with the time that is left by what each kind of work has cost so far.

    Args:
        name: stands before the bar.
        left: kind of work → how much of it is left (`cmmlib.experiments.time_left`).
        pace: learns from what is done.
        jobs: how many workers do it.
    """

    def __init__(self, name: str, left: Mapping[str, float], pace: Pace, jobs: int) -> None:
        self.left, self.pace, self.jobs, self.total = dict(left), pace, jobs, left[SCORING]
        self.bar = tqdm(total=self.total, unit="image", unit_scale=True, desc=name, bar_format=_BAR)
        self.described = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.bar.set_postfix_str("")
        if kind is None:
            self.bar.update(self.total - self.bar.n)  # what another process scored meanwhile
        self.bar.close()

    def done(self, kind: str, amount: float, seconds: float) -> None:
        """Work of a kind was done: a `cmmlib.experiments.sequence.Done`."""
        self.pace.learn(kind, amount, seconds)
        self.left[kind] = max(self.left.get(kind, 0) - amount, 0)
        if time.monotonic() > self.described + 1:
            self.bar.set_postfix_str(self.pace.describe(self.left, self.jobs), refresh=kind != SCORING)
            self.described = time.monotonic()
        if kind == SCORING:
            self.bar.update(min(amount, self.total - self.bar.n))
