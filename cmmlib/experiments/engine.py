"""The interface of engines, which run several sequences at once for the grid (`cmmlib.experiments.grid`)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple, Protocol

from .runs import Run

Work = tuple[str, float, float]
"""Finished work: its kind, its amount and the seconds it took; the arguments of `cmmlib.experiments.sequence.Done`."""


class Heard(Protocol):
    """A queue of finished work."""

    def empty(self) -> bool: ...

    def get(self) -> Work: ...


class Engine(NamedTuple):
    """Runs several sequences at a time.

    Attributes:
        jobs: how many run at a time.
        submit: queues a run; its future ends with None, or with the error that ended the run.
        done: queue of finished work.
    """

    jobs: int
    submit: Callable[[Run], Future[None]]
    done: Heard
