"""The command ``cmm``: dispatch, exit codes and printing.  Heavy imports wait until a command needs them."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Sequence

from . import runs, states
from .parser import make_parser
from .states import Result
from .text import as_text

COMMANDS: dict[str, Callable[[argparse.Namespace], Result | None]] = {
    "start": states.start,
    "add": states.add,
    "status": states.status,
    "export": states.export,
    "merge": states.merge,
    "reproduce": runs.reproduce,
    "report": runs.report,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, by default those of the process, and return the exit code."""
    arguments = make_parser().parse_args(argv)
    warned: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = lambda message, *_, **__: warned.append(_warn(str(message)))
            result = COMMANDS[arguments.command](arguments)
    except KeyboardInterrupt:
        return _failed(arguments, 130, "interrupted; what was finished is kept, the same command goes on from there")
    except BlockingIOError as error:
        return _failed(arguments, 3, str(error))
    except (ValueError, TypeError, FileNotFoundError, FileExistsError, NotADirectoryError) as error:
        return _failed(arguments, 2, str(error))
    except OSError as error:
        return _failed(arguments, 4, str(error))
    if arguments.json:
        print(json.dumps({**(result or {}), "warnings": warned}, ensure_ascii=False))
    elif result is not None:
        print(as_text(arguments.command, result))
    return 0


def _warn(message: str) -> str:
    print(f"cmm: warning: {message}", file=sys.stderr)
    return message


def _failed(arguments: argparse.Namespace, code: int, message: str) -> int:
    print(f"cmm: {message}", file=sys.stderr)
    if arguments.json:
        print(json.dumps({"error": message, "code": code}, ensure_ascii=False))
    return code
