"""``python -m cmmlib.bench.grid``: the same sequences one after the other, in local processes, and on Ray.

They run on the mini suite, each time from an empty store.  The start-up of the workers is measured separately, with a few
short sequences.  ``--cluster`` instead simulates a Ray cluster of several nodes on this machine, and kills one of them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tabulate import tabulate

from ..evaluation.scorer import ZeroShotScorer
from ..experiments.rows import Rows
from ..experiments.runs import Run, plan
from ..experiments.store import Results
from ..terminal import run_command
from .killed_node import survive
from .sequences import BACKBONE, SUITE, Submit, by_workers, one_after_the_other, scores, timed

ROWS: Rows = {"OPCM": ("opcm", {}), "MagMax": ("magmax", {}), "DOP-exact": ("dop", {"solver": "exact"})}


class Way(NamedTuple):
    """A way to run sequences: its number of workers, and how to open it on a store."""

    workers: int
    open: Callable[[Results], AbstractContextManager[Submit]]


def compare(runs: list[Run], jobs: int, rounds: int, folder: Path) -> None:
    """Print the seconds, speed-up and overhead of each way: medians over rounds, in each of which all ways take turns."""
    counts = sorted({1, jobs})
    ways = {f"serial, threads: {n}": Way(1, partial(one_after_the_other, n)) for n in counts}
    for name, ray in (("processes", None), ("Ray", "local")):
        ways |= {f"{name}, jobs: {n}": Way(n, partial(by_workers, ray, n, runs)) for n in counts}
    first = plan({"Weight average": ("weight_average", {})}, 2, range(4 * jobs), every_step=True)
    starts: dict[str, list[float]] = {name: [] for name in ways}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found = {}
    for number in range(rounds):
        for name, way in ways.items():
            store = Results(folder / f"{number} {name}.sqlite")
            began = time.perf_counter()
            with way.open(store) as submit:
                timed(submit, first)
                starts[name].append(time.perf_counter() - began)
                seconds[name].append(timed(submit, runs))
            found[name] = scores(store)
    alone, equal = (seconds[f"serial, threads: {n}"] for n in (counts[0], counts[-1]))
    table = [
        (
            name,
            statistics.median(starts[name]),
            statistics.median(seconds[name]),
            statistics.median(s / t for s, t in zip(alone, seconds[name], strict=True)),
            statistics.median(s / t for s, t in zip(equal, seconds[name], strict=True)),
            # the time of all workers together above that of one process with one thread
            statistics.median(1000 * (way.workers * t - s) / len(runs) for s, t in zip(alone, seconds[name], strict=True)),
            "yes" if found[name] == found[f"serial, threads: {counts[0]}"] else "NO",
        )
        for name, way in ways.items()
    ]
    header = ["", "start-up s", "seconds", "× serial", f"× serial, {jobs} threads", "overhead ms/sequence", "same scores"]
    print(tabulate(table, header, floatfmt=("", ".1f", ".2f", ".2f", ".2f", ".0f", "")))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m cmmlib.bench.grid", description=__doc__.split("\n\n")[0])
    parser.add_argument("--tasks", type=int, default=8, help="models per sequence (default: 8)")
    parser.add_argument("--orders", type=int, default=4, help=f"orders of each of {', '.join(ROWS)} (default: 4)")
    parser.add_argument("--jobs", type=int, default=2, help="workers (default: 2)")
    parser.add_argument("--rounds", type=int, default=1, help="measure so often (default: once)")
    parser.add_argument("--cluster", action="store_true", help="several nodes, one of them killed")
    parser.add_argument("--nodes", type=int, default=3, help="with --cluster: of one CPU each (default: 3)")
    options = parser.parse_args()
    runs = plan(ROWS, options.tasks, range(40, 40 + options.orders))
    tasks = SUITE.task_names(options.tasks)
    for task in tasks:
        SUITE.checkpoint(BACKBONE, task)
    ZeroShotScorer(SUITE, BACKBONE).prepare(tasks)
    print(
        f"mini suite, {len(runs)} sequences of {options.tasks} models: {options.orders} orders of {', '.join(ROWS)}; "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, one thread per worker\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        if options.cluster:
            survive(runs, options.nodes, Path(folder))
        else:
            compare(runs, options.jobs, options.rounds, Path(folder))


if __name__ == "__main__":
    raise SystemExit(run_command("grid", main))
