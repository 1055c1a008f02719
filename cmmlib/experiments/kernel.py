"""The Jupyter kernel that notebooks run in: always the interpreter that runs cmmlib."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

_LONGEST = 80
"""Bytes of a folder for sockets, whose paths the system limits to about a hundred."""


class ThisInterpreter(AsyncKernelManager):
    """Starts this interpreter, whatever kernels are installed under the notebook's kernel name.

    A module system or another project may well have one of its own under ``python3`` on ``JUPYTER_PATH``.  The connection
    file lies in a temporary folder, as Jupyter's own is in a home folder that may not be writable.  So do the sockets: over
    TCP every log would open with a warning that anybody on the machine could listen.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._folder = tempfile.TemporaryDirectory(prefix="cmmlib-kernel-", ignore_cleanup_errors=True)
        self.connection_file = str(Path(self._folder.name) / "kernel.json")
        if os.name == "posix" and len(os.fsencode(self._folder.name)) <= _LONGEST:
            self.transport = "ipc"

    @property
    def kernel_spec(self) -> KernelSpec:
        """The command that starts it."""
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name="Python 3",
            language="python",
        )

    def cleanup_connection_file(self) -> None:
        """Remove the file, and its folder."""
        super().cleanup_connection_file()
        self._folder.cleanup()
