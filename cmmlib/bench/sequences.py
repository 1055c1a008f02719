"""Running sequences of the mini suite one after the other or by the grid's workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager

import torch

from ..evaluation.scorer import ZeroShotScorer
from ..experiments.grid import engine
from ..experiments.runs import Run
from ..experiments.sequence import run_sequence
from ..experiments.store import Results
from ..suites.mini.suite import MiniSuite
from .timing import seconds

SUITE = MiniSuite()
BACKBONE = SUITE.backbones[0]

Submit = Callable[[Run], Future[None]]


@contextmanager
def one_after_the_other(threads: int, store: Results) -> Iterator[Submit]:
    """Run sequences in this process, with this number of threads."""
    scorer, before = ZeroShotScorer(SUITE, BACKBONE), torch.get_num_threads()

    def submit(run: Run) -> Future[None]:
        run_sequence(SUITE, BACKBONE, run, store, scorer)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    torch.set_num_threads(threads)
    try:
        yield submit
    finally:
        torch.set_num_threads(before)


@contextmanager
def by_workers(ray: str | None, jobs: int, runs: list[Run], store: Results) -> Iterator[Submit]:
    """Run sequences on the grid's workers: local processes, or Ray's if ``ray`` gives an address."""
    with engine(ray, SUITE, BACKBONE, runs, store, jobs, "cpu") as (_, submit, _):
        yield submit


def timed(submit: Submit, runs: list[Run]) -> float:
    """Seconds until all runs are done."""

    def work() -> None:
        futures = [submit(run) for run in runs]
        wait(futures)
        for future in futures:
            future.result()

    return seconds(work)


def scores(store: Results) -> list[tuple]:
    """The rows of a store, without the times of measurement."""
    return sorted(map(tuple, store.frame().drop(columns=["measured", "accuracy"]).values.tolist()))
