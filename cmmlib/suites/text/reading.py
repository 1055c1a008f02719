"""Texts out of source code, catalogues and data files.  Nothing that is read is run."""

from __future__ import annotations

import ast
import gettext
import io
import pickle
import re
import warnings
from collections.abc import Iterator
from typing import Any

from .packages import Package

_DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
TESTS = r"(?!.*(?:/tests?/|/testing/|test_|_test))"


def docstrings(package: Package, pattern: str) -> Iterator[tuple[str, str]]:
    """The files of a package and every docstring in them, cleaned of indentation."""
    for member, source in package.files(TESTS + pattern):
        for node in ast.walk(_parsed(source)):
            if isinstance(node, _DOCUMENTED) and (text := ast.get_docstring(node)):
                yield member, text


def summary(docstring: str) -> str:
    """The first paragraph of a docstring in one line."""
    return one_line(re.split(r"\n\s*\n", docstring.strip())[0])


def _parsed(source: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # of a package, for a string with a backslash
        return ast.parse(source)


def translations(package: Package, member: str) -> Iterator[tuple[str, str]]:
    """The messages of a compiled catalogue, and their translations, without forms for other numbers."""
    catalogue: Any = gettext.GNUTranslations(io.BytesIO(package.read(member)))
    for key, value in catalogue._catalog.items():
        if key and isinstance(key, str):
            yield key, value


def locale_data(package: Package, language: str) -> dict[str, Any]:
    """CLDR's names in a language, as Babel's wheel stores them: plain data, unpickled without any of its classes."""
    return _Plain(io.BytesIO(package.read(f"babel/locale-data/{language}.dat"))).load()


class _Plain(pickle.Unpickler):
    """Unpickles with an inert object in the place of any class, so that a file can run nothing."""

    def find_class(self, module: str, name: str) -> Any:
        return _Inert


class _Inert:
    def __init__(self, *args: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def one_line(text: str) -> str:
    """A text with single spaces, without markup of literals and of roles; of ``:py:class:`` the ``:py`` stays."""
    text = re.sub(
        r":\w+:`[~!]?([^`<]*?)\s*(?:<[^`]*>)?`|\b[BICLUE]\{([^{}]*)\}", lambda found: found[1] or found[2] or "", text
    )
    return re.sub(r"\s+", " ", text.replace("``", "").replace("`", "")).strip()
