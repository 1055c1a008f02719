"""The modules of a package that some of its modules import, found in their sources without running them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from importlib.util import find_spec, resolve_name
from pathlib import Path


def imported_modules(roots: Iterable[str], without: Iterable[str] = ()) -> list[str]:
    """``roots`` and all modules of their package that they import, directly or indirectly, sorted by name.

    An import inside a function counts; one under ``if TYPE_CHECKING:`` does not.  The ``__init__`` of a package counts only
    if a name other than a submodule is imported from it.  Then the module that defines the name counts too, also if the
    package imports it lazily (`cmmlib.lazy`), since such a package imports it under ``if TYPE_CHECKING:`` as well.

    Args:
        roots: full dotted names.
        without: modules and packages that are neither listed nor followed.

    Raises:
        ModuleNotFoundError: a root does not exist.
    """
    outside = tuple(f"{package}." for package in without)
    pending, found = list(roots), set()
    while pending:
        module = pending.pop()
        if module in found or f"{module}.".startswith(outside):
            continue
        if _file(module) is None:
            raise ModuleNotFoundError(f"no module named {module!r}", name=module)
        found.add(module)
        pending += _imports(module)
    return sorted(found)


def source_of(module: str) -> str:
    """The source of a module.

    Raises:
        ModuleNotFoundError: it does not exist, or is not part of a package.
    """
    file = _file(module)
    if file is None:
        raise ModuleNotFoundError(f"no module named {module!r}", name=module)
    return file.read_text(encoding="utf-8")


def _file(module: str) -> Path | None:
    top, *rest = module.split(".")
    spec = find_spec(top)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, *rest)
        for file in (path / "__init__.py", path.with_suffix(".py")):
            if file.is_file():
                return file
    return None


def _imports(module: str) -> Iterator[str]:
    """The modules that a module imports from its own package."""
    for origin, name in _statements(module, types=False):
        yield from _homes(origin, name)


def _homes(origin: str, name: str | None) -> Iterator[str]:
    """The modules that ``from origin import name`` reads; if the name is None, ``import origin``."""
    if name is not None and _file(f"{origin}.{name}") is not None:
        yield f"{origin}.{name}"
    elif (file := _file(origin)) is not None:
        yield origin
        if file.name == "__init__.py" and name is not None:  # follow the name to where the package imports it from
            for further, given in _statements(origin, types=True):
                if given == name and further != origin:
                    yield from _homes(further, given)


def _statements(module: str, *, types: bool) -> Iterator[tuple[str, str | None]]:
    """The imports of a module from its own package, as (module, name), the name None for ``import module``.

    Args:
        types: whether to include imports under ``if TYPE_CHECKING:``.
    """
    top, file = module.partition(".")[0], _file(module)
    package = module if file is not None and file.name == "__init__.py" else module.rpartition(".")[0]
    pending: list[ast.AST] = [ast.parse(source_of(module))]
    found: list[tuple[str, str | None]] = []
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found += [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            found += [(origin, alias.name) for alias in node.names]
        elif isinstance(node, ast.If) and not types and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING":
            pending += node.orelse
        else:
            pending += ast.iter_child_nodes(node)
    return ((origin, name) for origin, name in found if origin.partition(".")[0] == top)
