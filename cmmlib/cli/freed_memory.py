"""What the C library does with memory that a command has freed."""

from __future__ import annotations

import contextlib
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST = 64 << 20


def keep_freed_memory() -> None:
    """Have glibc keep the memory of freed tensors for the next ones.

    A merge allocates and frees tensors of the same few sizes all the time. By default each of some megabytes is new memory
    from the system, which is cleared page by page: a fifth of the processor time of merging by elementwise methods.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST)
