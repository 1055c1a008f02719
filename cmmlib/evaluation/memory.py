"""How much memory is free, on a GPU or in the system."""

from __future__ import annotations

import contextlib
import os

import torch


def memory_to_use(device: torch.device) -> int:
    """Bytes that models may take while they are scored: half of what a GPU has free, a quarter of what the system has."""
    if device.type == "cuda":
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return (torch.cuda.mem_get_info(device)[0] + reserved) // 2
    return available_memory() // 4


def available_memory() -> int:
    """Bytes of memory that can be had without swapping, as the system says; 0 where it does not say."""
    with contextlib.suppress(OSError, StopIteration), open("/proc/meminfo") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) * 1024
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 0
