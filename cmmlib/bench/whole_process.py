"""What a command costs as a process of its own.

Import nothing heavy here: on Linux a child's peak memory starts at that of the process that forks it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import NamedTuple


class Cost(NamedTuple):
    """Wall-clock and processor seconds, and the peak of resident memory in MiB."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


def cost_of(*arguments: str) -> Cost:
    """Run Python with these arguments in a fresh process.

    Raises:
        SystemExit: it failed.
    """
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, code, usage = os.wait4(process.pid, 0)
    if code:
        raise SystemExit(f"python {' '.join(arguments)[:200]} failed")
    return Cost(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
