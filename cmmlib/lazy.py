"""Packages whose names are imported when they are first used (PEP 562), so that nobody waits for what is not asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """The ``__getattr__``, ``__dir__`` and ``__all__`` of a package.

    Args:
        package: its ``__name__``.
        homes: submodule → the names that the package offers from it, separated by spaces.  Its own name stands for the
            submodule itself, if nothing in it is called so; no other name may be that of a submodule.
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
