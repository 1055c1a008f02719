"""The modules that a module's imports lead to, in a package made for the test."""

import pytest

from cmmlib.experiments.code_graph import imported_modules, source_of
from cmmlib.methods.sources import code_hash


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes modules of a package that is on the path and never imported: its name, and a function."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(modules):
        for name, source in modules.items():
            path = tmp_path / "pkg" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        for folder in [path for path in (tmp_path / "pkg").rglob("*") if path.is_dir()] + [tmp_path / "pkg"]:
            (folder / "__init__.py").touch()

    return write


def graph_hash():
    return code_hash(map(source_of, imported_modules(["pkg.entry"])))


def test_a_module_that_a_helper_comes_to_import_counts_from_then_on(package):
    package({"entry.py": "from .deep.helper import f\n", "deep/helper.py": "def f(): return 1\n", "new.py": "g = 1\n"})
    assert imported_modules(["pkg.entry"]) == ["pkg.deep.helper", "pkg.entry"]
    before = graph_hash()
    package({"new.py": "g = 2\n"})
    assert graph_hash() == before
    package({"deep/helper.py": "from ..new import g\ndef f(): return 1\n"})
    assert imported_modules(["pkg.entry"]) == ["pkg.deep.helper", "pkg.entry", "pkg.new"]
    with_it = graph_hash()
    assert with_it != before
    package({"new.py": "g = 3\n"})
    assert graph_hash() not in (before, with_it)
    package({"new.py": "g = 3  # why\n"})
    assert graph_hash() not in (before, with_it)


@pytest.mark.parametrize(
    "source",
    [
        "import pkg.a.b",
        "import json, pkg.a.b as x",
        "from pkg.a import b",
        "from .a import b as x",
        "from . import json\nfrom .a.b import *",
        "def f():\n    from .a.b import c",
        "class C:\n    def f(self):\n        if True:\n            import pkg.a.b",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .c import d\nelse:\n    from .a import b",
        "import typing\nif typing.TYPE_CHECKING:\n    import pkg.c\nimport pkg.a.b",
    ],
)
def test_however_it_is_written_an_import_counts_and_one_for_type_checkers_does_not(package, source):
    package({"entry.py": source, "a/b.py": "", "c.py": "", "json.py": ""})
    found = imported_modules(["pkg.entry"])
    assert [module for module in found if module != "pkg.json"] == ["pkg.a.b", "pkg.entry"]
    assert ("pkg.json" in found) == ("from . import json" in source)


def test_an_init_counts_where_a_name_is_taken_from_it_and_leads_to_where_that_is(package):
    modules = {"a/b.py": "x = 1", "a/c.py": "y = 1", "d.py": "z = 1", "entry.py": "from .a.b import x"}
    package(modules | {"a/__init__.py": "from .b import x\nfrom ..d import z\n"})
    assert imported_modules(["pkg.entry"]) == ["pkg.a.b", "pkg.entry"]
    package({"entry.py": "from .a import x"})
    assert imported_modules(["pkg.entry"]) == ["pkg.a", "pkg.a.b", "pkg.d", "pkg.entry"]
    lazily = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .b import x as x\n    from .c import y as y\n"
    package({"a/__init__.py": lazily})
    assert imported_modules(["pkg.entry"]) == ["pkg.a", "pkg.a.b", "pkg.entry"]


def test_modules_that_import_each_other_and_what_is_left_out(package):
    package(
        {"entry.py": "from . import a, b\nfrom .m import n\nfrom .m.n import o", "m/n.py": "from .. import c", "c.py": ""}
    )
    package({"a.py": "from . import b, entry", "b.py": "import pkg.a"})
    assert imported_modules(["pkg.entry"], without=["pkg.m"]) == ["pkg.a", "pkg.b", "pkg.entry"]
    assert imported_modules(["pkg.entry"]) == ["pkg.a", "pkg.b", "pkg.c", "pkg.entry", "pkg.m.n"]


def test_a_root_that_does_not_exist_is_an_error(package):
    package({"entry.py": ""})
    with pytest.raises(ModuleNotFoundError, match=r"pkg\.nosuch"):
        imported_modules(["pkg.nosuch"])
    with pytest.raises(ModuleNotFoundError, match=r"pkg\.nosuch"):
        source_of("pkg.nosuch")
