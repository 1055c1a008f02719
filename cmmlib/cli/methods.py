"""The command ``cmm methods``: all that there are, and one's own."""

from __future__ import annotations

import argparse
import inspect
from typing import Any


def methods(arguments: argparse.Namespace) -> dict[str, Any]:
    """What is known of methods: those that are named, or all."""
    from ..merging.keeping import keeps
    from ..methods import get_method, method_names

    found = []
    for name in arguments.names or method_names():
        method = get_method(name)
        needed = [key for key, value in method.defaults.items() if value is inspect.Parameter.empty]
        kept = None if needed else keeps(method.name)._asdict()
        found.append(
            {
                "name": method.name,
                "what": (inspect.getdoc(method.step) or "").partition("\n")[0],
                "needed": needed,
                "parameters": {key: value for key, value in method.defaults.items() if key not in needed},
                "paper": method.paper,
                "keeps": kept,
            }
        )
    return {"methods": found}
