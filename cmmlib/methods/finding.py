"""Finding a method by its name, also one that lies in a file, a module or an installed package of the user's.

Packages announce theirs by the entry-point group ``cmmlib.methods``::

    [project.entry-points."cmmlib.methods"]
    fading = "my_package.methods:fading"
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from . import registry
from .registry import LOOKS, Method

GROUP = "cmmlib.methods"
_FILE = re.compile(r"(?P<file>.+\.py)(:(?P<function>\w+))?", re.S)
_MODULE = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<function>\w+)")

_Stamp = tuple[int, int]
_LOADED: dict[str, tuple[_Stamp, ModuleType]] = {}
"""File → its time and size when it was run, and its module."""


def get_method(name: str) -> Method:
    """The method of a name: one of `method_names`, ``path/to/file.py:function`` or ``package.module:function``.

    A module is imported, and a file is run as ``python file.py`` runs it, but for what stands below ``if __name__ ==
    "__main__"``: once in a process, and again when it has changed. The method's own name then holds the file's full path.

    Raises:
        ValueError: no method has that name, the function is no method, or its file or module fails.
        FileNotFoundError: no such file.
    """
    if isinstance(name, str) and (match := _FILE.fullmatch(name)):
        return _of_file(os.path.abspath(os.path.expanduser(match["file"])), match["function"] or "")
    found = known_method(name)
    if found is not None:
        return found
    if isinstance(name, str) and (match := _MODULE.fullmatch(name)):
        return _of_module(name, **match.groupdict())
    raise ValueError(
        f"unknown method {name!r}; known are {', '.join(method_names())} (one of your own is named path/to/file.py:function "
        "or package.module:function)"
    )


def known_method(name: str) -> Method | None:
    """The method of that name, where this process or an installed package has it; None where code would have to be found.

    Raises:
        ValueError: two packages announce that name, or the one that does fails.
    """
    if not isinstance(name, str):
        return None
    if name not in registry._METHODS and (announced := _announced(name)):
        if len(announced) > 1:
            packages = " and ".join(f"{point.dist.name if point.dist else '?'} ({point.value})" for point in announced)
            raise ValueError(f"method {name!r} is announced by {packages}; name one as package.module:function")
        try:
            function = announced[0].load()
        except Exception as error:
            raise _failed(f"method {name!r} ({announced[0].value})", error) from error
        _register(_method_of(function, announced[0].value), name)
    return registry._METHODS.get(name)


def method_names() -> list[str]:
    """Names of all methods that are registered or that installed packages announce, sorted; not those named by file."""
    return sorted({*(name for name in registry._METHODS if ":" not in name), *entry_points(group=GROUP).names})


def file_of(name: str) -> str | None:
    """The file that a method's name says; None for other names."""
    match = _FILE.fullmatch(name)
    return match["file"] if match else None


def short_name(name: str) -> str:
    """A method's name without the folders of its file, which are the user's affair."""
    return os.path.basename(name) if file_of(name) else name


def _announced(name: str) -> list[EntryPoint]:
    points = entry_points(group=GROUP, name=name)
    return list({point.value: point for point in points}.values())


def _of_module(name: str, module: str, function: str) -> Method:
    try:
        home = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise _failed(name, error) from error
        raise ValueError(f"method {name!r}: no module {error.name}; is it installed, or its folder in PYTHONPATH?") from None
    except Exception as error:
        raise _failed(name, error) from error
    return _register(_method_of(_attribute(home, function, name), name), name)


def _of_file(file: str, function: str) -> Method:
    name = f"{file}:{function}"
    try:
        found = os.stat(file)
        stamp = (found.st_mtime_ns, found.st_size)
    except FileNotFoundError:
        if name in registry._METHODS:  # it travelled here, or has been removed since
            return registry._METHODS[name]
        raise FileNotFoundError(f"method {name!r}: there is no file {file}") from None
    loaded, module = _LOADED.get(file, (None, None))
    if name in registry._METHODS and loaded in (None, stamp):
        return registry._METHODS[name]
    if module is None or loaded != stamp:
        module = _run(file)
        _LOADED[file] = (stamp, module)
    if not function:
        methods = ", ".join(f"{os.path.basename(file)}:{key}" for key, value in vars(module).items() if _is_method(value))
        raise ValueError(f"{file}: say which of its functions: {methods or f'it has no method, which looks like {LOOKS}'}")
    method = _register(_method_of(_attribute(module, function, name), name), name)
    _ = method.source_hash  # now: the file may change
    return method


def _run(file: str) -> ModuleType:
    """The module that running a file gives; what it registers is had by the file's name alone."""
    module = ModuleType(f"cmmlib_file_{sha256(os.fsencode(file)).hexdigest()[:12]}")  # two files may have one name
    module.__file__ = file
    before = dict(registry._METHODS)
    sys.modules[module.__name__] = module  # where `inspect` and `pickle` look
    sys.path.insert(0, os.path.dirname(file))  # for its neighbours
    try:
        with open(file, "rb") as opened:
            exec(compile(opened.read(), file, "exec"), module.__dict__)
    except Exception as error:
        raise _failed(file, error) from error
    finally:
        sys.path.remove(os.path.dirname(file))
        for name, method in list(registry._METHODS.items()):
            if method.step.__module__ == module.__name__:
                del registry._METHODS[name]
                registry._METHODS |= {name: before[name]} if name in before else {}
    return module


def _failed(what: str, error: Exception) -> ValueError:
    return ValueError(f"{what} fails when it is run: {type(error).__name__}: {error}")


def _is_method(value: object) -> bool:
    return callable(value) and value.__hash__ is not None and value in registry._BY_STEP


def _attribute(module: ModuleType, function: str, name: str) -> Any:
    try:
        return getattr(module, function)
    except AttributeError:
        methods = ", ".join(key for key, value in vars(module).items() if _is_method(value))
        raise ValueError(f"{name} does not exist; methods there: {methods or 'none'}") from None


def _method_of(function: Any, name: str) -> Method:
    if not _is_method(function):
        raise ValueError(f"{name} is no method; put {LOOKS}")
    return registry._BY_STEP[function]


def _register(found: Method, name: str) -> Method:
    registry._METHODS[name] = method = replace(found, name=name)
    return method
