"""Ray, the optional engine: sequences of a grid, or layers of a merge step, on this machine's or a cluster's workers.

The only module that imports Ray, and only when asked.  Every worker computes with one thread, as everywhere in a grid, so
that results are bit for bit those of one process on the same kind of machine.  A worker that dies, alone or with its node,
is replaced and what it was at is repeated by whoever is free.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import queue
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from ..evaluation.scorer import Score, ZeroShotScorer
from ..methods import get_method, registry
from ..methods.registry import Method
from ..suites.suite import Suite
from ..threads import on_threads
from .protocol import Run, identity, run_sequence
from .store import Merged, Results

if TYPE_CHECKING:
    from ..merging.accumulated import Value
    from ..merging.stepping import Inputs

Result = TypeVar("Result")

LOCAL = "local"
TRIES = 5  # a unit that so many workers died at is to blame itself

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent anywhere
    "RAY_worker_niceness": "0",  # Ray's 15 would let any other program pass by
}
"""Of a Ray that is started here, where the environment does not say otherwise."""


def require_ray() -> None:
    """Raise ValueError where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise ValueError("Ray is not installed: pip install 'cmmlib[ray]', or leave --ray out for local processes")


@contextmanager
def connected(address: str = LOCAL, cpus: int = 1) -> Iterator[Any]:
    """Ray itself, connected; a connection that is there already is used, and left alone afterwards.

    Args:
        address: ``local`` starts Ray on this machine and ends it again; else that of a cluster, HOST:PORT or ``auto``,
            of which this machine is a node.
        cpus: how many a Ray that is started here has at least; else as many as there are cores.

    Raises:
        ValueError: Ray is not installed, does not start, or there is no cluster at ``address``.
    """
    require_ray()
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray").setLevel(logging.ERROR)
    import ray

    if ray.is_initialized():
        yield ray
        return
    if address.startswith("ray://"):
        raise ValueError(f"{address}: give HOST:PORT or auto, on a node of the cluster; Ray's client is not supported")
    here = {"num_cpus": max(cpus, os.cpu_count() or 1), "include_dashboard": False} if address == LOCAL else {}
    # Ray gives its own processes 15 seconds to start, which a busy machine may not; by the second time files are in memory
    for last in (False, True) if here else (True,):
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **here)
            break
        except Exception as error:  # Ray raises bare ones
            ray.shutdown()
            if last:
                raise ValueError(f"Ray at {address!r} cannot be used: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


class Actors:
    """Ray actors of one kind, for units of work that any of them can do; one that dies is replaced, its unit repeated.

    Args:
        ray: see `connected`.
        kind: class of the actors.
        arguments: of its constructor.
        count: how many; those that the cluster has no room for join when it has.
        **resources: of each, as ``num_cpus`` and ``num_gpus``.
    """

    def __init__(self, ray: Any, kind: type, arguments: Sequence[Any], count: int, **resources: float):
        self._ray, self._make = ray, lambda: ray.remote(**resources)(kind).remote(*arguments)
        self._idle: queue.SimpleQueue = queue.SimpleQueue()
        self._alive: list[Any] = []
        self._count, self._closed = count, False
        for _ in range(count):
            self._start()

    def _start(self) -> None:
        actor = self._make()
        self._alive.append(actor)
        # one that is still waiting for room must not hold up a unit that others could do
        actor.__ray_ready__.remote().future().add_done_callback(lambda ready: self._idle.put((actor, ready.exception())))

    def do(self, unit: Callable[[Any], Result]) -> Result:
        """``unit(actor)`` with the next actor that is free, waiting for one; from several threads at once.

        Raises:
            RuntimeError: several actors died at it.

        Whatever the unit raises on the actor is raised here.
        """
        for _ in range(TRIES):
            actor, fault = self._idle.get()
            try:
                if fault is not None:
                    raise fault
                result = unit(actor)
            except self._ray.exceptions.RayActorError as error:
                if self._closed or error.actor_init_failed:
                    raise
                warnings.warn("a Ray worker died; it is replaced, and what it was at is repeated", stacklevel=2)
                self._ray.kill(actor)  # where it is only out of reach, nothing is to be heard of it later
                self._start()
            except self._ray.exceptions.RayTaskError as error:
                self._idle.put((actor, None))
                raise (error.cause or error) from error
            else:
                self._idle.put((actor, None))
                return result
        raise RuntimeError(f"{TRIES} Ray workers died at the same piece of work, perhaps for want of memory")

    def close(self) -> None:
        """End all actors, and whoever waits for one."""
        self._closed = True
        for actor in self._alive:
            self._ray.kill(actor)
        for _ in range(self._count):
            self._idle.put((None, self._ray.exceptions.RayActorError()))

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> Actors:
        return self

    def __exit__(self, *_) -> None:
        self.close()


class Known:
    """Stands in for `cmmlib.experiments.store.Results` where the store is not: holds what is known, tells what is new.

    Args:
        scores: what the store holds of the models that will be asked for.
        tell: called with a model and its new scores.
    """

    def __init__(self, scores: Mapping[Merged, Mapping[str, Score]], tell: Callable[[Merged, dict[str, Score]], None]):
        self.scores, self.tell = {model: dict(found) for model, found in scores.items()}, tell

    def get(self, merged: Merged) -> dict[str, Score]:
        return dict(self.scores.get(merged, {}))

    def get_many(self, models: Iterable[Merged]) -> dict[Merged, dict[str, Score]]:
        return {model: self.get(model) for model in models}

    def put(self, merged: Merged, scores: Mapping[str, Score]) -> None:
        self.scores[merged] = {**scores, **self.get(merged)}
        self.tell(merged, dict(scores))


class SequenceWorker:
    """An actor with one thread and one scorer."""

    def __init__(self, suite: Suite, backbone: str, device: str):
        torch.set_num_threads(1)
        self.suite, self.backbone = suite, backbone
        self.scorer = ZeroShotScorer(suite, backbone, device=device)

    def run(
        self, run: Run, method: Method, known: Mapping[Merged, Mapping[str, Score]]
    ) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """`cmmlib.experiments.protocol.run_sequence`; gives ("scores", (model, scores)) and ("work", what `Done` hears)."""
        registry._METHODS[method.name] = method  # it may be defined in the driver's notebook only
        heard: queue.SimpleQueue = queue.SimpleQueue()
        store = Known(known, lambda *scores: heard.put(("scores", scores)))
        about = (self.suite, self.backbone, run, store, self.scorer, lambda *work: heard.put(("work", work)))
        with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            running = pool.submit(run_sequence, *about)
            running.add_done_callback(lambda _: heard.put(None))
            while (told := heard.get()) is not None:  # Ray cannot delegate to an iterator that is no generator
                yield told
            running.result()


@contextmanager
def sequences_on_ray(
    address: str, suite: Suite, backbone: str, results: Results, jobs: int | None, runs: int, device: str
) -> Iterator[tuple[int, Callable[[Run], Future], queue.SimpleQueue]]:
    """How many runs go on at a time, what submits one, and the queue on which finished work is heard.

    Workers send scores as they are measured, and this process alone writes them to ``results``.  On a GPU each worker has a
    GPU of its own, or where ``jobs`` are more than GPUs an equal share of one.  There are never more jobs than ``runs``.
    """
    done: queue.SimpleQueue = queue.SimpleQueue()
    with connected(address, jobs or 1) as ray:
        resource = "GPU" if device == "cuda" else "CPU"
        there = int(ray.cluster_resources().get(resource, 0))
        if not there:
            raise ValueError(f"Ray at {address!r} has no {resource}")
        jobs = min(jobs or there, runs)

        def unit(run: Run, actor: Any) -> None:
            known = results.get_many(identity(suite, backbone, run, step) for step in range(1, run.num_tasks + 1))
            method = get_method(run.method)  # with its hash, which the source is not needed for then
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
            try:
                yield jobs, lambda run: pool.submit(actors.do, partial(unit, run)), done
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def room(jobs: int, there: int, device: str) -> dict[str, float]:
    """What each of so many workers asks Ray for, where so many CPUs or GPUs are."""
    return {"num_cpus": 0, "num_gpus": 1 / math.ceil(jobs / there)} if device == "cuda" else {"num_cpus": 1}


class LayerWorker:
    """An actor with one thread."""

    def __init__(self) -> None:
        torch.set_num_threads(1)

    def apply(self, step: Callable[[Inputs], tuple[Value, dict[str, float]]], inputs: Inputs) -> Any:
        return step(inputs)


class RayLayers:
    """A ``layer_map`` of `cmmlib.ContinualMerger`: the layers of one merge step on Ray actors.

    For one large model, whose layers are worth sending.  Biases and other small parameters stay here.  At most one input
    more than there are actors is in flight.  The results are bit for bit those without Ray::

        with RayLayers(8, "auto") as layers:
            merger = ContinualMerger(base, "opcm", layer_map=layers)

    Args:
        num_actors: how many, each with one CPU and one thread.
        address: see `connected`.

    Raises:
        ValueError: fewer than one actor, Ray is not installed, or no such cluster; later, tensors that are not on the CPU.
    """

    def __init__(self, num_actors: int, address: str = LOCAL):
        if num_actors < 1:
            raise ValueError(f"num_actors: expected at least 1, got {num_actors}")
        self._connection = connected(address, num_actors)
        self._ray = self._connection.__enter__()
        self._actors = Actors(self._ray, LayerWorker, (), num_actors, num_cpus=1)

    def __call__(
        self, step: Callable[[Inputs], tuple[Value, dict[str, float]]], inputs: Iterable[Inputs]
    ) -> Iterator[tuple[Value, dict[str, float]]]:
        return on_threads(len(self._actors), partial(self._apply, step), inputs)

    def _apply(self, step: Callable[[Inputs], tuple[Value, dict[str, float]]], given: Inputs) -> Any:
        _, task_vector, context = given
        if context.kind != "linear":
            return step(given)
        if task_vector.device.type != "cpu":
            raise ValueError(f"Ray's layers are merged on CPUs, not on {task_vector.device}: leave the merger's device out")
        return self._actors.do(lambda actor: self._ray.get(actor.apply.remote(step, given)))

    def close(self) -> None:
        """End the actors, and Ray if it was started for them."""
        self._actors.close()
        self._connection.__exit__(None, None, None)

    def __enter__(self) -> RayLayers:
        return self

    def __exit__(self, *_) -> None:
        self.close()
