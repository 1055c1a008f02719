"""The command ``cmm``: dispatch, exit codes and printing.  Heavy imports wait until a command needs them."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence

from ..terminal import INTERRUPTED, complain, drop_output, run_command
from . import check, runs, states
from .methods import methods
from .parser import make_parser
from .states import Result
from .text import as_text

COMMANDS: dict[str, Callable[[argparse.Namespace], Result | str]] = {
    "start": states.start,
    "add": states.add,
    "status": states.status,
    "export": states.export,
    "merge": states.merge,
    "methods": methods,
    "reproduce": runs.reproduce,
    "report": runs.report,
    "check": check.check,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, by default those of the process, and return the exit code."""
    given = sys.argv[1:] if argv is None else list(argv)
    return run_command("cmm", lambda: _run(make_parser().parse_args(given), given))


def _run(arguments: argparse.Namespace, given: Sequence[str]) -> int:
    warned: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = lambda message, *_, **__: warned.append(_warn(str(message)))
            result = COMMANDS[arguments.command](arguments)
    except KeyboardInterrupt:
        kept = "every score so far is kept; go on" if arguments.command == "reproduce" else "nothing was changed; try again"
        return _failed(arguments, INTERRUPTED, f"interrupted; {kept} with: cmm {shlex.join(given)}")
    except BlockingIOError as error:
        return _failed(arguments, 3, str(error))
    except (ValueError, TypeError, FileNotFoundError, FileExistsError, NotADirectoryError) as error:
        return _failed(arguments, 2, str(error))
    except OSError as error:
        return _failed(arguments, 4, str(error))
    if isinstance(result, str):
        return _answer(result)
    text = json.dumps({**result, "warnings": warned}) if arguments.json else as_text(arguments.command, result)
    return _answer(text) or (1 if result.get("ready") is False else 0)


def _answer(text: str) -> int:
    """Print what was done, and give the exit code."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output()
        complain(f"cmm: done, but the answer cannot be written to the output: {error}")
        return 5
    return 0


def _warn(message: str) -> str:
    complain(f"cmm: warning: {message}")
    return message


def _failed(arguments: argparse.Namespace, code: int, message: str) -> int:
    complain(f"cmm: {message}")
    if arguments.json:
        print(json.dumps({"error": message, "code": code}))
    return code
