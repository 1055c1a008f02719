"""Locks on files that the system releases when the process ends, however it ends."""

from __future__ import annotations

import errno
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["NO_LOCKS", "FileLock", "Timeout", "file_lock"]

NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
"""The errors of a file system that has no locks, as some Lustre, NFS and FUSE mounts."""


def file_lock(path: Path, *, timeout: float = -1) -> FileLock:
    """A lock for a ``with`` block, exclusive among threads and processes.

    Where the file system has no locks taking it is an OSError, with one of `NO_LOCKS`: a mere file in their place would
    outlive a process that is killed, and lock everyone out.

    Args:
        path: of the lock file, which is made and stays; its folder must exist.
        timeout: seconds to wait until ``Timeout`` is raised; negative: for ever.
    """
    return FileLock(path, timeout=timeout, fallback_to_soft=False, thread_local=False)
