"""File locks that the system releases when the process ends, even when it is killed."""

from __future__ import annotations

import errno
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["NO_LOCKS", "FileLock", "Timeout", "file_lock"]

NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
"""The errors of a file system that has no locks, as some Lustre, NFS and FUSE mounts."""


def file_lock(path: Path, *, timeout: float = -1) -> FileLock:
    """A lock for a ``with`` block, exclusive among threads and processes.

    Acquiring it raises OSError on a file system without locks.  A plain file in its place would outlive a killed process
    and lock everyone out.

    Args:
        path: the lock file, which is created and stays; its folder must exist.
        timeout: seconds to wait before ``Timeout`` is raised; a negative number waits for ever.
    """
    return FileLock(path, timeout=timeout, fallback_to_soft=False, thread_local=False)
