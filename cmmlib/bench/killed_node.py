"""A grid on a simulated Ray cluster, one node of which is killed: ``python -m cmmlib.bench.grid --cluster``."""

from __future__ import annotations

import threading
import time
import warnings
from pathlib import Path

from tabulate import tabulate

from ..experiments.grid import run_grid
from ..experiments.ray_connection import connected
from ..experiments.runs import Run
from ..experiments.store import Results
from .sequences import BACKBONE, SUITE, scores


def survive(runs: list[Run], nodes: int, folder: Path) -> None:
    """Run a grid on simulated nodes, undisturbed and with one node killed after a third of the scores, and print both."""
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
