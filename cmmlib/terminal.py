"""What a command owes the terminal, pipe or file that it writes to."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable

CLOSED_PIPE = 141
"""The exit code of a command whose reader has gone: 128 + SIGPIPE, as a shell reports it."""


INTERRUPTED = 130
"""The exit code of a command that was interrupted: 128 + SIGINT."""


def run_command(name: str, command: Callable[[], int | None], *, kept: str = "") -> int:
    """Run a command; give its exit code.

    A character that the output's encoding lacks is printed as ``?``.  A reader that has gone (``| head -1``) ends the
    command quietly; a system error, as of a full disk behind the output, or an interruption, with one line on the error
    stream.

    Args:
        name: what that line begins with.
        command: gives its exit code, None for 0.
        kept: what the line says after an interruption.

    Returns:
        The command's own exit code, ``CLOSED_PIPE``, ``INTERRUPTED``, or 4 after a system error.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # the error stream never fails on a character
    try:
        try:
            return command() or 0
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, as the interpreter's end would complain with a traceback
    except KeyboardInterrupt:
        complain(f"\n{name}: interrupted" + (kept and f"; {kept}"))
        return INTERRUPTED
    except BrokenPipeError:
        drop_output()
        return CLOSED_PIPE
    except OSError as error:
        drop_output()
        complain(f"{name}: {error}")
        return 4


def complain(line: str) -> None:
    """Print a line on the error stream, if there is one that can be written: nobody else could be told."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(line, file=sys.stderr, flush=True)


def drop_output() -> None:
    """Send what has not been written yet nowhere, else the interpreter would try once more when it ends."""
    with contextlib.suppress(OSError, AttributeError):  # no stream, or one without a file behind it
        descriptor = sys.stdout.fileno()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, descriptor)
        os.close(null)
