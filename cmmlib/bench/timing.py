"""Seconds and memory of a piece of work.  Memory is read from ``/proc``, which only Linux has."""

from __future__ import annotations

import ctypes
import math
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)
Work = Callable[[], object]
Prepare = Callable[[], Work]
"""Does the preparation, which is not measured, and returns the work to measure."""

MIB = 1 << 20


def ready(work: Work) -> Prepare:
    """What prepares work that needs no preparation."""
    return lambda: work


class Measured(NamedTuple):
    """The cost of a piece of work: seconds, and peak growth of resident memory in MiB (NaN if not measured)."""

    seconds: float
    mib: float = math.nan


def seconds(work: Work) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def resident(field: str) -> int:
    """Resident memory of this process in bytes: now for ``VmRSS``, the peak since `forget_peak` for ``VmHWM``.

    Raises:
        OSError: the system has no ``/proc``.
    """
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024


def forget_peak() -> None:
    """Reset ``VmHWM`` to the present resident memory.

    Raises:
        OSError: the system has no ``/proc``.
    """
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def peak_mib(work: Work) -> float:
    """Peak growth of resident memory while ``work`` runs, in MiB; NaN if the system cannot tell."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # else the work could reuse memory that earlier work has freed
        forget_peak()
    except (OSError, AttributeError):
        work()
        return math.nan
    before = resident("VmRSS")
    work()
    return (resident("VmHWM") - before) / MIB


def in_turn(prepared: Mapping[Key, Prepare], rounds: int) -> dict[Key, list[float]]:
    """Seconds of each in every round.  All take turns, so that a machine that is busy for a while slows them alike."""
    times: dict[Key, list[float]] = {key: [] for key in prepared}
    for _ in range(rounds):
        for key, prepare in prepared.items():
            times[key].append(seconds(prepare()))
    return times


def measured(prepared: Mapping[Key, Prepare], rounds: int) -> dict[Key, Measured]:
    """Median seconds and peak memory of each, `in_turn`.

    Memory is measured in a first round that is not timed, since pages that are new to the process cost time.
    """
    peaks = {key: peak_mib(prepare()) for key, prepare in prepared.items()}
    return {key: Measured(statistics.median(times), peaks[key]) for key, times in in_turn(prepared, rounds).items()}
