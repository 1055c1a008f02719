"""Running a grid of sequences: what is not done yet, several at a time, safe to interrupt."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from typing import Any

import torch
from tqdm import tqdm

from .evaluate import ZeroShotScorer
from .experiment import Run, identity, run_references, run_sequence
from .methods import get_method
from .results import Merged, Results
from .suites import Suite, load_suite


def run_grid(suite: Suite, backbone: str, runs: Sequence[Run], results: Results, *, workers: int | None = None) -> None:
    """Run what ``results`` does not hold yet, several sequences at a time, with a progress bar.

    May be interrupted and called again; may run twice at once.  Each worker is a process with one thread, so that the
    numbers do not depend on how many there are.

    Args:
        workers: number of processes; default: one per core.  Methods defined in a notebook exist only there, so their
            runs stay in this process.
    """
    num_tasks = max(run.num_tasks for run in runs)
    known = results.get_many({identity(suite, backbone, run, step) for run in runs for step in range(1, run.num_tasks + 1)})
    missing: dict[Merged, set[str]] = {}
    pending: list[Run] = []
    # long runs first, so that no worker is left with one at the end
    for run in sorted(runs, key=lambda run: (run.params.get("solver", run.method) != "dop", -run.num_tasks)):
        needed = False
        for step, tasks in enumerate(run.wanted(suite), 1):
            model = identity(suite, backbone, run, step)
            new = set(tasks) - set(known[model]) - missing.get(model, set())
            if new:
                missing.setdefault(model, set()).update(new)
                needed = True
        if needed:
            pending.append(run)
    total = sum(map(len, missing.values()))
    suite.base(backbone)  # prepared once, before any worker asks for it
    for task in suite.task_names(num_tasks):
        suite.checkpoint(backbone, task)
        suite.test_set(task)
    here = [run for run in pending if get_method(run.method).step.__module__ == "__main__"]
    there = [run for run in pending if run not in here]
    with tqdm(total=total, unit="score", desc=f"{suite.name} {backbone}", disable=not total) as bar:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            scorer = ZeroShotScorer(suite, backbone)
            run_references(suite, backbone, num_tasks, results, scorer)
            for run in here:
                run_sequence(suite, backbone, run, results, scorer, bar.update)
        finally:
            torch.set_num_threads(threads)
        _run_in_workers(suite, backbone, there, results, workers or os.cpu_count() or 1, bar)
        bar.update(total - bar.n)  # what another process scored meanwhile


def _run_in_workers(suite: Suite, backbone: str, runs: list[Run], results: Results, workers: int, bar: tqdm) -> None:
    if not runs:
        return
    context = multiprocessing.get_context("spawn")  # a fork would inherit torch's thread pools in an unusable state
    counter = context.Value("q", 0)
    modules = sorted({get_method(run.method).step.__module__ for run in runs})
    with ProcessPoolExecutor(
        min(workers, len(runs)), context, _start_worker, (suite.name, backbone, str(results.path), modules, counter)
    ) as pool:
        pending, shown = {pool.submit(_work, run) for run in runs}, 0
        try:
            while pending:
                finished, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                if counter.value > shown:
                    bar.update(counter.value - shown)
                    shown = counter.value
                for future in finished:
                    future.result()
        except BaseException:
            # do not wait for sequences of minutes: every finished score is stored, half a sequence is no loss
            for process in list(pool._processes.values()):
                process.terminate()
            raise


_WORKER: dict[str, Any] = {}


def _start_worker(suite: str, backbone: str, results: str, modules: list[str], counter) -> None:
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    for module in modules:  # a user's method registers itself when its module is imported
        importlib.import_module(module)
    loaded = load_suite(suite)
    _WORKER.update(suite=loaded, backbone=backbone, results=Results(results), counter=counter)
    _WORKER["scorer"] = ZeroShotScorer(loaded, backbone)


def _exit_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _work(run: Run) -> None:
    def done(scores: int) -> None:
        with _WORKER["counter"].get_lock():
            _WORKER["counter"].value += scores

    run_sequence(_WORKER["suite"], _WORKER["backbone"], run, _WORKER["results"], _WORKER["scorer"], done)
