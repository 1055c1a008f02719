"""Free memory of a GPU or of the system."""

from __future__ import annotations

import contextlib
import os

import torch


def memory_to_use(device: torch.device) -> int:
    """Bytes that models may take while they are scored: half of a GPU's free memory, or a quarter of the system's."""
    if device.type == "cuda":
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return (torch.cuda.mem_get_info(device)[0] + reserved) // 2
    return available_memory() // 4


def available_memory() -> int:
    """Bytes of system memory available without swapping; 0 if the system does not tell."""
    with contextlib.suppress(OSError, StopIteration), open("/proc/meminfo") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) * 1024
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 0
