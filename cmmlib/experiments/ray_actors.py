"""Ray actors for units of work that any of them can do.

An actor that dies, alone or with its node, is replaced, and what it was at is repeated by whoever is free.
"""

from __future__ import annotations

import queue
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Result = TypeVar("Result")

TRIES = 5  # a unit that so many workers died at is to blame itself


class Actors:
    """Ray actors of one kind, for units of work that any of them can do; one that dies is replaced, its unit repeated.

    Args:
        ray: see `cmmlib.experiments.ray_connection.connected`.
        kind: class of the actors.
        arguments: of its constructor.
        count: how many; those that the cluster has no room for join when it has.
        **resources: of each, as ``num_cpus`` and ``num_gpus``.
    """

    def __init__(self, ray: Any, kind: type, arguments: Sequence[Any], count: int, **resources: float) -> None:
        self._ray, self._kind, self._arguments, self._resources = ray, kind, arguments, resources
        self._idle: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._alive: list[Any] = []
        self._count, self._closed = count, False
        for _ in range(count):
            self._start()

    def _start(self) -> None:
        actor = self._ray.remote(**self._resources)(self._kind).remote(*self._arguments)
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

    def __exit__(self, *_: object) -> None:
        self.close()
