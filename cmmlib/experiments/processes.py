"""Local processes, the default engine.  Each has one thread and one scorer, and writes to the store."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import torch

from ..evaluation.scorer import ZeroShotScorer
from ..methods import get_method
from ..methods.finding import file_of
from ..suites.suite import Suite
from .engine import Engine, Work
from .runs import Run
from .sequence import run_sequence
from .store import Results


@contextmanager
def sequences_in_processes(
    suite: Suite, backbone: str, runs: Sequence[Run], results: Results, jobs: int, device: str
) -> Iterator[Engine]:
    """An engine of local processes that write to the store themselves; with several GPUs they are spread over them.

    Leaving the block waits for the submitted runs; leaving it by an exception ends the processes at once.

    Args:
        runs: all that will be submitted.
        jobs: how many processes.
    """
    context = multiprocessing.get_context("spawn")  # a fork would inherit torch's thread pools in an unusable state
    done: SimpleQueue[Work] = context.SimpleQueue()
    modules = sorted({get_method(run.method).step.__module__ for run in runs if file_of(run.method) is None})
    place = (suite, backbone, results.path, device, modules, context.Value("q", 0), done)
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(jobs, context, _start_worker, place) as pool:

        def submit(run: Run) -> Future[None]:
            return pool.submit(_work, run, get_method(run.method).source_hash)

        try:
            yield Engine(jobs, submit, done)
        except BaseException:
            # do not wait for sequences that take minutes: every finished score is stored, so little is lost
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise


@dataclass
class _Worker:
    """What a worker process keeps from one run to the next."""

    suite: Suite
    backbone: str
    results: Results
    scorer: ZeroShotScorer
    done: SimpleQueue[Work]

    def run(self, run: Run) -> None:
        run_sequence(self.suite, self.backbone, run, self.results, self.scorer, lambda *work: self.done.put(work))


_worker: _Worker


def _start_worker(
    suite: Suite, backbone: str, store: Path, device: str, modules: list[str], started: Any, done: SimpleQueue[Work]
) -> None:
    global _worker
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    for module in modules:  # a user's method registers itself when its module is imported; one named by a file is found
        importlib.import_module(module)
    if device == "cuda":
        with started.get_lock():
            device = f"cuda:{started.value % torch.cuda.device_count()}"
            started.value += 1
    _worker = _Worker(suite, backbone, Results(store), ZeroShotScorer(suite, backbone, device=device), done)


def _work(run: Run, code: str) -> None:
    if get_method(run.method).source_hash != code:
        raise ValueError(f"the code of method {run.method!r} has changed while the grid ran; run it again")
    _worker.run(run)


def _exit_with_parent() -> None:
    """End this worker when its parent ends, even by a kill; it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
