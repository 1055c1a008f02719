"""Seconds and memory of a piece of work.  Memory is read from ``/proc``, which Linux alone has."""

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
"""Does what is not to be measured, and returns the work that is."""

MIB = 1 << 20


class Measured(NamedTuple):
    """What one piece of work costs: seconds, and the growth of resident memory at its highest in MiB."""

    seconds: float
    mib: float = math.nan


def seconds(work: Work) -> float:
    """Wall clock of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def resident(field: str) -> int:
    """Resident memory of this process in bytes: ``VmRSS`` now, ``VmHWM`` at its highest since `forget_peak`.

    Raises:
        OSError: the system has no ``/proc``.
    """
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024


def forget_peak() -> None:
    """Have ``VmHWM`` start anew from what is resident now.

    Raises:
        OSError: the system has no ``/proc``.
    """
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def peak_mib(work: Work) -> float:
    """Growth of the resident set at its highest while ``work`` runs, in MiB; NaN where the system cannot tell."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # else what the one before has freed is there to be used
        forget_peak()
    except (OSError, AttributeError):
        work()
        return math.nan
    before = resident("VmRSS")
    work()
    return (resident("VmHWM") - before) / MIB


def in_turn(prepared: Mapping[Key, Prepare], rounds: int) -> dict[Key, list[float]]:
    """Seconds of each, round after round: a machine that is busy for a while slows all of them alike."""
    times: dict[Key, list[float]] = {key: [] for key in prepared}
    for _ in range(rounds):
        for key, prepare in prepared.items():
            times[key].append(seconds(prepare()))
    return times


def measured(prepared: Mapping[Key, Prepare], rounds: int) -> dict[Key, Measured]:
    """Median seconds and peak memory of each, `in_turn`.

    Memory is taken in a first round that is not timed: pages that are new to the process cost time.
    """
    peaks = {key: peak_mib(prepare()) for key, prepare in prepared.items()}
    return {key: Measured(statistics.median(times), peaks[key]) for key, times in in_turn(prepared, rounds).items()}
