"""Ray itself, the optional engine: imported only when asked for, connected to this machine's workers or a cluster's."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LOCAL = "local"
"""The address that stands for a Ray on this machine alone."""

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
    here: dict[str, Any] = {}
    if address == LOCAL:
        here = {"num_cpus": max(cpus, os.cpu_count() or 1), "include_dashboard": False}
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
