"""Connecting to Ray, which is optional and imported only when asked for, on this machine or on a cluster."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..methods import Method
from ..methods.sources import modules_of

LOCAL = "local"
"""The address of a Ray that is started on this machine only."""

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no usage statistics are sent
    "RAY_worker_niceness": "0",  # with Ray's 15, any other program would slow the workers down
}
"""Environment variables of a Ray that is started here, unless the user has set them."""


def require_ray() -> None:
    """Raise ValueError if Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise ValueError("Ray is not installed: pip install 'cmmlib[ray]', or use local processes, without --ray")


@contextmanager
def connected(address: str = LOCAL, cpus: int = 1) -> Iterator[Any]:
    """Connect to Ray for the block, and yield the module ``ray``.  An existing connection is used and left open.

    Args:
        address: ``local`` starts Ray on this machine and stops it afterwards.  Otherwise the address of a cluster that this
            machine is a node of, as HOST:PORT, or ``auto``.
        cpus: the least number of CPUs of a Ray that is started here; it has at least one per core.

    Raises:
        ValueError: Ray is not installed or does not start, or there is no cluster at ``address``.
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
    here: dict[str, Any] = {}
    if address == LOCAL:
        here = {"num_cpus": max(cpus, os.cpu_count() or 1), "include_dashboard": False}
    # Ray gives its processes 15 seconds to start; a busy machine may need a second try, with the files then in memory
    for last in (False, True) if here else (True,):
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **here)
            break
        except Exception as error:  # Ray raises bare exceptions
            ray.shutdown()
            if last:
                raise ValueError(f"Ray at {address!r} cannot be used: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def send_along(ray: Any, methods: Iterable[Method]) -> None:
    """From now on, the user's own modules that the code of methods comes from and uses travel to the workers with it."""
    for method in methods:
        for module in modules_of(method.functions):
            ray.cloudpickle.register_pickle_by_value(module)
