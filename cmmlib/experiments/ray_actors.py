"""A pool of Ray actors for units of work that any of them can do.

An actor that dies, alone or with its node, is replaced, and the next free actor repeats its unit.
"""

from __future__ import annotations

import queue
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Result = TypeVar("Result")

TRIES = 5  # actors that may die on one unit before the unit is given up


class Actors:
    """A pool of Ray actors of one class.  An actor that dies is replaced and its unit repeated.

    Args:
        ray: from `cmmlib.experiments.ray_connection.connected`.
        kind: class of the actors.
        arguments: of its constructor.
        count: how many actors; those that the cluster has no room for join later.
        **resources: of each actor, such as ``num_cpus`` and ``num_gpus``.
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
        # an actor that still waits for room must not hold up a unit that others can do
        actor.__ray_ready__.remote().future().add_done_callback(lambda ready: self._idle.put((actor, ready.exception())))

    def do(self, unit: Callable[[Any], Result]) -> Result:
        """``unit(actor)`` with the next free actor, waiting for one.  It may be called from several threads at once.

        What the unit raises on the actor is raised here.

        Raises:
            RuntimeError: `TRIES` actors died on the unit.
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
                warnings.warn("a Ray worker died; it is replaced, and its work is repeated", stacklevel=2)
                self._ray.kill(actor)  # it may only be out of reach, and must not come back
                self._start()
            except self._ray.exceptions.RayTaskError as error:
                self._idle.put((actor, None))
                raise (error.cause or error) from error
            else:
                self._idle.put((actor, None))
                return result
        raise RuntimeError(f"{TRIES} Ray workers died on the same piece of work, perhaps out of memory: use fewer workers")

    def close(self) -> None:
        """End all actors; calls of `do` that wait for one fail."""
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
