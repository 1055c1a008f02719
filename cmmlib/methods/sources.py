"""The code that decides a method's results, so that scores of one version are not taken for those of another."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import sysconfig
import textwrap
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

_LIBRARIES = tuple({Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")})
SAME_RESULTS = {
    "3a790e63217dc3ac": "6348450bc31620fb",
    "10c5add4da0927ad": "e938c7c3016ecf11",
    "be6d567072b5c58f": "bfe3dfd9650dc28a",
}
"""Hashes of code that gives the same results as an earlier code, and the hash of that one, under which it goes on.

States and scores record all hyper-parameters, so a new default changes nothing that is on record. ``dop_all``: its default
``svd_proj_space`` became ``v``. ``ties``: the same thresholds and values are found in fewer passes and operations. ``dop``:
what a wide layer does not need any more is let go."""

_PLAIN = (bool, int, float, complex, str, bytes, type(None))

_DECIDES_NO_RESULT = frozenset({"separable", "elementwise", "scales", "workspace"})
"""What a method promises of how a merge may be done; what comes out is the same."""


def code_hash(sources: Iterable[str]) -> str:
    """Hash (16 hexadecimal digits) of what Python sources do.

    Comments, docstrings and layout do not count, nor what a method promises of how a merge may be done.
    """
    digest = hashlib.sha256()
    for source in sources:
        tree = ast.parse(textwrap.dedent(source))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "method":
                node.keywords = [keyword for keyword in node.keywords if keyword.arg not in _DECIDES_NO_RESULT]
        digest.update(ast.unparse(tree).encode())
    return digest.hexdigest()[:16]


def package_sources(module: str, *, without: str) -> list[str]:
    """The sources of a module of this package, and of all of the package that it imports.

    Args:
        without: a module that does not count.
    """
    package = __name__.rpartition(".")[0]
    pending, seen = [module], []
    while pending:
        name = pending.pop()
        if name in seen or name == without:
            continue
        seen.append(name)
        for value in vars(sys.modules[name]).values():
            origin = getattr(value, "__module__", None) or ""
            if callable(value) and origin.startswith(package + "."):
                pending.append(origin)
    return [inspect.getsource(sys.modules[name]) for name in sorted(seen)]


def sources_of(functions: Iterable[Callable[..., Any]]) -> list[str]:
    """The sources of functions and of all that they use: other functions, modules of the user's, constants.

    What a function uses is told by the names in its code.  Libraries are not followed: their versions are on record
    elsewhere.  Of a function in a module of the user's the whole module counts.

    Raises:
        OSError: Python cannot find a source, as with what is typed into a plain interpreter.
    """
    found: set[str] = set()
    for name, value in _reached(functions):
        if isinstance(value, types.ModuleType):
            found.add(inspect.getsource(value))
        elif isinstance(value, types.FunctionType | type):
            if getattr(getattr(value, "__code__", None), "co_filename", "") in ("<string>", "<stdin>"):
                raise OSError("typed into an interpreter")  # where Python 3.13 may find the text of another program
            found.add(inspect.getsource(value if value.__module__ == "__main__" else sys.modules[value.__module__]))
        elif (text := _constant(value)) is not None and not name.startswith("__"):
            found.add(f"{name} = {text}")
    return sorted(found)


def modules_of(functions: Iterable[Callable[..., Any]]) -> list[types.ModuleType]:
    """The modules of the user's that functions come from, and those that they use: another machine may not have them."""
    homes = (getattr(value, "__module__", None) for _, value in _reached(functions) if callable(value))
    modules = [value for _, value in _reached(functions) if isinstance(value, types.ModuleType)]
    modules += [sys.modules[home] for home in homes if home in sys.modules and home != "__main__"]
    return [module for module in {module.__name__: module for module in modules}.values() if _of_the_user(module)]


def _reached(functions: Iterable[Callable[..., Any]]) -> Iterator[tuple[str, object]]:
    """Functions and classes of the user's, his modules and constants, by name: all that functions use but libraries."""
    seen: dict[int, object] = {}
    pending: list[tuple[str, object]] = [(function.__qualname__, function) for function in functions]
    while pending:
        name, value = pending.pop()
        if id(value) in seen and not isinstance(value, _PLAIN):
            continue
        seen[id(value)] = value
        if isinstance(value, types.ModuleType):
            if _of_the_user(value):
                yield name, value
                pending += vars(value).items()
        elif isinstance(value, types.FunctionType | type):
            if value.__module__ == "__main__" or _of_the_user(sys.modules.get(value.__module__)):
                yield name, value
                pending += _used(value)
        else:
            yield name, value


def _of_the_user(module: types.ModuleType | None) -> bool:
    """Whether a module is neither a library's nor cmmlib's own."""
    if module is None or module.__name__.partition(".")[0] == __name__.partition(".")[0]:
        return False
    file = getattr(module, "__file__", None)
    return file is not None and not any(Path(file).resolve().is_relative_to(place) for place in _LIBRARIES)


def _used(value: object) -> Iterator[tuple[str, object]]:
    """What a function, or a class's functions, have by name from outside."""
    if isinstance(value, type):
        for each in vars(value).values():
            if isinstance(each, types.FunctionType):
                yield from _used(each)
        return
    if not isinstance(value, types.FunctionType):
        return
    for name in sorted(_names(value.__code__)):
        if name in value.__globals__:
            yield name, value.__globals__[name]
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
        yield name, cell.cell_contents


def _names(code: types.CodeType) -> set[str]:
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return {*code.co_names}.union(*map(_names, inner))


def _constant(value: object) -> str | None:
    """A constant as a text that tells it from others; None for what has none."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, Tensor):
        return f"{value.dtype} {value.tolist()}"
    if isinstance(value, list | tuple | set | frozenset):
        parts = [_constant(part) for part in value]
        ordered = parts if isinstance(value, list | tuple) else sorted(part or "" for part in parts)
        return None if None in parts else f"{type(value).__name__} {ordered}"
    if isinstance(value, dict):
        parts = [_constant(part) for item in value.items() for part in item]
        return None if None in parts else f"dict {parts}"
    return None
