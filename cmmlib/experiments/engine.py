"""What every way of running several sequences at once offers the grid (`cmmlib.experiments.grid`)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple, Protocol

from .runs import Run

Work = tuple[str, float, float]
"""Finished work: its kind, how much of it, and the seconds that it took, as `cmmlib.experiments.sequence.Done` hears it."""


class Heard(Protocol):
    """A queue from which finished work is taken."""

    def empty(self) -> bool: ...

    def get(self) -> Work: ...


class Engine(NamedTuple):
    """Ready to be given runs.

    Attributes:
        jobs: how many runs go on at a time.
        submit: starts a run, or has it wait for its turn; the future holds nothing, or the error that ended the run.
        done: on which finished work is heard.
    """

    jobs: int
    submit: Callable[[Run], Future[None]]
    done: Heard
