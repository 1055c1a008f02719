"""Running the sequences of a grid on Ray, on this machine or on a cluster.

Every worker computes with one thread, so that results are bit for bit those of one process on the same kind of machine.
"""

from __future__ import annotations

import math
import queue
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from ..evaluation.score import Score
from ..evaluation.scorer import ZeroShotScorer
from ..methods import get_method
from ..methods.registry import Method, register
from ..suites.suite import Suite
from .engine import Engine, Work
from .identity import Merged, identity
from .ray_actors import Actors
from .ray_connection import connected, send_along
from .runs import Run
from .sequence import run_sequence
from .store import Results


class Known:
    """Stands in for `cmmlib.experiments.store.Results` on a worker, which cannot reach the store's file.

    Args:
        scores: the store's scores of all models that will be asked for.
        tell: called with a model and its new scores.
    """

    def __init__(
        self, scores: Mapping[Merged, Mapping[str, Score]], tell: Callable[[Merged, dict[str, Score]], None]
    ) -> None:
        self.scores, self.tell = {model: dict(found) for model, found in scores.items()}, tell

    def get(self, merged: Merged) -> dict[str, Score]:
        """The scores of one model, by task."""
        return dict(self.scores.get(merged, {}))

    def get_many(self, models: Iterable[Merged]) -> dict[Merged, dict[str, Score]]:
        """`get` for many models at once."""
        return {model: self.get(model) for model in models}

    def put(self, merged: Merged, scores: Mapping[str, Score]) -> None:
        """Keep the scores of one model, and pass them to ``tell``; existing scores stay."""
        self.scores[merged] = {**scores, **self.get(merged)}
        self.tell(merged, dict(scores))


class SequenceWorker:
    """A Ray actor with one thread and one scorer."""

    def __init__(self, suite: Suite, backbone: str, device: str) -> None:
        torch.set_num_threads(1)
        self.suite, self.backbone = suite, backbone
        self.scorer = ZeroShotScorer(suite, backbone, device=device)

    def run(self, run: Run, method: Method, known: Mapping[Merged, Mapping[str, Score]]) -> Iterator[tuple[str, Any]]:
        """Run a sequence (`cmmlib.experiments.sequence.run_sequence`) and report as it goes.

        Yields:
            ("scores", (model, its new scores)) and ("work", (kind, amount, seconds)).
        """
        register(method)  # it may be defined only in the driver's notebook
        heard: queue.SimpleQueue[tuple[str, Any] | None] = queue.SimpleQueue()
        store = Known(known, lambda *scores: heard.put(("scores", scores)))
        with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            running = pool.submit(
                run_sequence, self.suite, self.backbone, run, store, self.scorer, lambda *work: heard.put(("work", work))
            )
            running.add_done_callback(lambda _: heard.put(None))
            while (told := heard.get()) is not None:  # not `yield from iter(…)`: Ray can delegate only to generators
                yield told
            running.result()


@contextmanager
def sequences_on_ray(
    address: str, suite: Suite, backbone: str, results: Results, jobs: int | None, runs: Sequence[Run], device: str
) -> Iterator[Engine]:
    """An engine of Ray actors that send scores as they are measured; only this process writes them to ``results``.

    On GPUs each worker has its own GPU, or an equal share of one if there are more jobs than GPUs.

    Args:
        address: see `cmmlib.experiments.ray_connection.connected`.
        jobs: number of workers; default: one per CPU or GPU of the cluster.  There are never more than runs.
        runs: all that will be submitted.
        device: where the workers merge and score.

    Raises:
        ValueError: Ray cannot be used (`cmmlib.experiments.ray_connection.connected`), the cluster has no such device, or
            a node has another version of cmmlib.
    """
    done: queue.SimpleQueue[Work] = queue.SimpleQueue()
    with connected(address, jobs or 1) as ray:
        send_along(ray, [get_method(name) for name in {run.method for run in runs}])
        resource = "GPU" if device == "cuda" else "CPU"
        there = int(ray.cluster_resources().get(resource, 0))
        if not there:
            raise ValueError(f"Ray at {address!r} has no {resource}; choose another device or cluster")
        jobs = min(jobs or there, len(runs))

        def unit(run: Run, actor: Any) -> None:
            known = results.get_many(identity(suite, backbone, run, step) for step in range(1, run.num_tasks + 1))
            method = get_method(run.method)  # it carries its hash and its source, so the worker needs no file
            for told in actor.run.options(num_returns="streaming").remote(run, method, known):
                what, content = ray.get(told)
                if what == "work":
                    done.put(content)
                elif content[0] in known:
                    results.put(*content)
                else:
                    raise ValueError("a node of the cluster has another version of cmmlib; install the same everywhere")

        with (
            ThreadPoolExecutor(jobs) as pool,
            Actors(ray, SequenceWorker, (suite, backbone, device), jobs, **room(jobs, there, device)) as actors,
        ):

            def submit(run: Run) -> Future[None]:
                return pool.submit(actors.do, partial(unit, run))

            try:
                yield Engine(jobs, submit, done)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def room(jobs: int, there: int, device: str) -> dict[str, float]:
    """The resources that each of ``jobs`` workers asks Ray for.

    Args:
        there: number of GPUs of the cluster; not used on CPUs.
    """
    return {"num_cpus": 0, "num_gpus": 1 / math.ceil(jobs / there)} if device == "cuda" else {"num_cpus": 1}
