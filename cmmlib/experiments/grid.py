"""Running the unfinished part of a grid of sequences, several at a time."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import AbstractContextManager, contextmanager

import torch

from ..evaluation.scorer import ZeroShotScorer
from ..methods import get_method
from ..suites.suite import Suite
from .engine import Engine
from .identity import Merged, identity
from .processes import sequences_in_processes
from .progress import Progress
from .ray_sequences import sequences_on_ray
from .runs import Run
from .sequence import references_known, run_references, run_sequence
from .store import Results
from .time_left import SCORING

ANNOUNCED = 60  # seconds; longer work is announced before it starts


def run_grid(
    suite: Suite,
    backbone: str,
    runs: Sequence[Run],
    results: Results,
    *,
    jobs: int | None = None,
    ray: str | None = None,
    device: str | None = None,
) -> None:
    """Run what ``results`` does not hold yet, several sequences at a time, with a progress bar and the time left.

    It may be interrupted and called again, and several calls may run at once.  Each worker has one thread, so that the
    numbers do not depend on how many workers there are.

    Args:
        jobs: how many sequences at a time; default: one per core, or one per CUDA device.  More jobs than CUDA devices
            share them.
        ray: run on Ray (`cmmlib.experiments.ray_sequences`): a cluster's address, or ``local`` for this machine.  The
            default is local processes.  These cannot import methods defined in a notebook, whose runs stay in this process.
        device: where to merge and score; default: CUDA if torch finds a device, else the CPU.

    Raises:
        ValueError: the store holds scores of other revisions of the models or data sets; Ray or the device cannot be used.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    tasks = max((run.pool(suite) for run in runs), key=len)
    if not work_left(suite, backbone, runs, results)[0] and references_known(suite, backbone, len(tasks), results):
        return  # before any model or image is fetched
    scorer = ZeroShotScorer(suite, backbone, device=device)
    for task in tasks:  # prepare everything once, before the workers need it
        suite.checkpoint(backbone, task)
    scorer.prepare(tasks)
    with _one_thread():
        results.note_sources(suite.content_hash(backbone), backbone, suite.sources(backbone, tasks))
        pace = results.pace(suite.name, backbone, device)
        run_references(suite, backbone, len(tasks), results, scorer, pace.learn)
        pending, scores, merges = work_left(suite, backbone, runs, results)
        left = {SCORING: sum(count * scorer.size(task) for task, count in scores.items()), **merges}
        if not pending:
            return
        # a method defined in a notebook exists only there: Ray can send it, local processes cannot import it
        here = [run for run in pending if ray is None and get_method(run.method).step.__module__ == "__main__"]
        there = [run for run in pending if run not in here]
        with engine(ray, suite, backbone, there, results, jobs, device) as (jobs, submit, done):
            if pace.estimate(left, jobs)[0] > ANNOUNCED:
                print(
                    f"{suite.name} {backbone}: {len(pending)} sequences with {left[SCORING]:,} classifications to do, "
                    f"{jobs} at a time on {device}; {pace.describe(left, jobs)}"
                )
            with Progress(f"{suite.name} {backbone}", left, pace, jobs) as progress:
                try:
                    for run in here:
                        run_sequence(suite, backbone, run, results, scorer, progress.done)
                    waiting = {submit(run) for run in there}
                    while waiting:
                        finished, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                        while not done.empty():
                            progress.done(*done.get())
                        for future in finished:
                            future.result()
                except KeyboardInterrupt:
                    print("interrupted; every score so far is kept: run the same once more, and it goes on from there")
                    raise
                finally:
                    results.keep_pace(suite.name, backbone, device, pace)


def work_left(
    suite: Suite, backbone: str, runs: Sequence[Run], results: Results
) -> tuple[list[Run], Counter[str], Counter[str]]:
    """What ``results`` does not hold yet.

    Returns:
        The unfinished runs, those expected to take longest first; task → number of scores to measure; label → number of
        models to merge, without the first of each run, which costs next to nothing.
    """
    known = results.get_many({identity(suite, backbone, run, step) for run in runs for step in range(1, run.num_tasks + 1)})
    missing: dict[Merged, set[str]] = {}
    pending: list[Run] = []
    scores: Counter[str] = Counter()
    merges: Counter[str] = Counter()
    # long runs first, so that no worker starts one at the end
    for run in sorted(runs, key=lambda run: (run.params.get("solver", run.method) != "dop", -run.num_tasks)):
        last = 0
        for step, tasks in enumerate(run.wanted(suite), 1):
            model = identity(suite, backbone, run, step)
            new = set(tasks) - set(known[model]) - missing.get(model, set())
            if new:
                missing.setdefault(model, set()).update(new)
                scores.update(new)
                last = step
        if last:
            pending.append(run)
            merges[run.label] += last - 1
    return pending, scores, merges


def engine(
    ray: str | None, suite: Suite, backbone: str, runs: list[Run], results: Results, jobs: int | None, device: str
) -> AbstractContextManager[Engine]:
    """The engine that will run ``runs``; see `run_grid` for the arguments."""
    if ray is not None:
        return sequences_on_ray(ray, suite, backbone, results, jobs, runs, device)
    jobs = jobs or (torch.cuda.device_count() if device == "cuda" else os.cpu_count()) or 1
    return sequences_in_processes(suite, backbone, runs, results, max(1, min(jobs, len(runs))), device)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute with one thread inside the block."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
