"""``python -m cmmlib.bench.grid``: the same sequences one after the other, in local processes, and on Ray.

On the mini suite, each from an empty store.  What workers need to start is measured apart: they first do a few short
sequences.  ``--cluster`` instead simulates a Ray cluster by several nodes on this machine, of which one is killed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from pathlib import Path

import torch
from tabulate import tabulate

from ..evaluation.scorer import ZeroShotScorer
from ..experiments.cluster import connected
from ..experiments.grid import engine, run_grid
from ..experiments.protocol import Run, plan, run_sequence
from ..experiments.store import Results
from ..suites.mini.suite import MiniSuite

ROWS = {"OPCM": ("opcm", {}), "MagMax": ("magmax", {}), "DOP-exact": ("dop", {"solver": "exact"})}
SUITE = MiniSuite()
BACKBONE = SUITE.backbones[0]

Submit = Callable[[Run], Future]


@contextmanager
def one_after_the_other(threads: int, store: Results) -> Iterator[Submit]:
    """No workers: this process, with so many threads."""
    scorer, before = ZeroShotScorer(SUITE, BACKBONE), torch.get_num_threads()

    def submit(run: Run) -> Future:
        run_sequence(SUITE, BACKBONE, run, store, scorer)
        done: Future = Future()
        done.set_result(None)
        return done

    torch.set_num_threads(threads)
    try:
        yield submit
    finally:
        torch.set_num_threads(before)


@contextmanager
def side_by_side(ray: str | None, jobs: int, runs: list[Run], store: Results) -> Iterator[Submit]:
    """The grid's workers."""
    with engine(ray, SUITE, BACKBONE, runs, store, jobs, "cpu") as (_, submit, _):
        yield submit


def timed(submit: Submit, runs: list[Run]) -> float:
    start = time.perf_counter()
    futures = [submit(run) for run in runs]
    wait(futures)
    for future in futures:
        future.result()
    return time.perf_counter() - start


def scores(store: Results) -> list[tuple]:
    """What a store holds, without when it was measured."""
    return sorted(map(tuple, store.frame().drop(columns=["measured", "accuracy"]).values.tolist()))


def compare(runs: list[Run], jobs: int, rounds: int, folder: Path) -> None:
    """Seconds, speed-up and overhead of each way, in turn, round after round; the median over rounds."""
    counts = sorted({1, jobs})
    ways: dict[str, Callable] = {f"serial, threads: {n}": lambda store, n=n: one_after_the_other(n, store) for n in counts}
    for name, ray in (("processes", None), ("Ray", "local")):
        ways |= {f"{name}, jobs: {n}": lambda store, n=n, ray=ray: side_by_side(ray, n, runs, store) for n in counts}
    first = plan({"Weight average": ("weight_average", {})}, 2, range(4 * jobs), every_step=True)
    starts: dict[str, list[float]] = {way: [] for way in ways}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    found = {}
    for number in range(rounds):
        for way, open_ in ways.items():
            store = Results(folder / f"{number} {way}.sqlite")
            began = time.perf_counter()
            with open_(store) as submit:
                timed(submit, first)
                starts[way].append(time.perf_counter() - began)
                seconds[way].append(timed(submit, runs))
            found[way] = scores(store)
    alone, equal = (seconds[f"serial, threads: {n}"] for n in (counts[0], counts[-1]))
    table = [
        (
            way,
            statistics.median(starts[way]),
            statistics.median(seconds[way]),
            statistics.median(s / t for s, t in zip(alone, seconds[way], strict=True)),
            statistics.median(s / t for s, t in zip(equal, seconds[way], strict=True)),
            # of all workers together, what is more than one process with one thread needs
            statistics.median(
                1000 * ((int(way[-1]) * t if "jobs" in way else t) - s) / len(runs)
                for s, t in zip(alone, seconds[way], strict=True)
            ),
            "yes" if found[way] == found[f"serial, threads: {counts[0]}"] else "NO",
        )
        for way in ways
    ]
    header = ["", "start-up s", "seconds", "× serial", f"× serial, {jobs} threads", "overhead ms/sequence", "same scores"]
    print(tabulate(table, header, floatfmt=("", ".1f", ".2f", ".2f", ".2f", ".0f", "")))


def survive(runs: list[Run], nodes: int, folder: Path) -> None:
    """A grid on several simulated nodes, undisturbed and with one of them killed when a third of the scores is there."""
    from ray.cluster_utils import Cluster

    serial = Results(folder / "serial.sqlite")
    run_grid(SUITE, BACKBONE, runs, serial, jobs=1)
    expected, table = scores(serial), []
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        members = [cluster.add_node(num_cpus=1) for _ in range(nodes)]
        with connected(cluster.address):
            for what in ("undisturbed", "one node killed"):
                store, finished = Results(folder / f"{what}.sqlite"), threading.Event()

                def kill(store: Results = store, finished: threading.Event = finished) -> None:
                    while len(store.frame()) < len(expected) // 3 and not finished.wait(0.1):
                        pass
                    cluster.remove_node(members[-1], allow_graceful=False)

                killer = threading.Thread(target=kill)
                with warnings.catch_warnings(record=True) as warned:
                    warnings.simplefilter("always")
                    start = time.perf_counter()
                    if what != "undisturbed":
                        killer.start()
                    run_grid(SUITE, BACKBONE, runs, store, jobs=nodes, ray=cluster.address)
                    seconds = time.perf_counter() - start
                finished.set()
                if what != "undisturbed":
                    killer.join()
                lost = sum("worker died" in str(warning.message) for warning in warned)
                table.append((what, seconds, lost, len(scores(store)), "yes" if scores(store) == expected else "NO"))
    finally:
        cluster.shutdown()
    print(tabulate(table, [f"{nodes} nodes", "seconds", "workers lost", "scores", "the serial run's"], floatfmt=".1f"))
    print(f"seconds lost: {table[1][1] - table[0][1]:.1f}, with {nodes - 1} of {nodes} nodes left to finish")


def main() -> None:
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
    main()
