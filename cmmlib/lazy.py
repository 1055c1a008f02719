"""Packages that import a name when it is first used (PEP 562), which keeps importing the package fast."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Make the ``__getattr__``, ``__dir__`` and ``__all__`` of a package.

    Args:
        package: its ``__name__``.
        homes: submodule → the names that the package exports from it, separated by spaces.  The submodule's own name
            exports the submodule, unless it lies deeper and defines that name itself.  A name of anything else must not be
            that of a submodule of the package: whatever imports it puts it in the name's place.
    """
    home_of = {name: module for module, names in homes.items() for name in names.split()}

    def getattribute(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = home_of[name]
        module = import_module(f"{package}.{home}")
        value = vars(module).get(name, module) if name == home.rpartition(".")[2] else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    return getattribute, lambda: sorted({*vars(sys.modules[package]), *home_of}), sorted(home_of)
