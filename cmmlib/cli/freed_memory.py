"""What the C library does with memory that a command has freed."""

from __future__ import annotations

import contextlib
import ctypes

from ..methods import Method

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST = 32 << 20


def tune_memory(method: Method) -> None:
    """Have glibc keep the memory of freed tensors for the next ones, or, for a method with a survey, give it back at once.

    A merge allocates and frees tensors of the same few sizes all the time. By default each of some megabytes is new memory
    from the system, which is cleared page by page: a fifth of the time of merging by elementwise methods. A survey leaves
    small results between large tensors, though, and glibc does not use the gaps again: there memory would grow and grow.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        if method.survey:
            libc.mallopt(_M_MMAP_THRESHOLD, 1 << 20)
        else:
            libc.mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST)
            libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST)
