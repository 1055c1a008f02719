"""Names that are imported when they are first used."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

PACKAGE = "package_of_lazy_names"
FILES = {
    "__init__.py": """
from cmmlib.lazy import lazy_names
_HOMES = {"heavy": "Thing other", "deep.namesake": "namesake", "whole": "whole", "deep.inner": "inner fact"}
__getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
""",
    "heavy.py": "class Thing: pass\nother = 7\nhidden = 8\n",
    "deep/namesake.py": "def namesake(): return 'the function'\n",
    "whole.py": "fact = 'the module'\n",
    "deep/__init__.py": "",
    "deep/inner.py": "fact = 'far down'\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A package of `FILES`, imported for the first time."""
    for name, text in FILES.items():
        path = tmp_path / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module(PACKAGE)
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def loaded() -> set[str]:
    """The package's modules that have been imported."""
    return {name.removeprefix(f"{PACKAGE}.") for name in sys.modules if name.startswith(f"{PACKAGE}.")}


def test_a_name_is_imported_on_first_use_and_only_its_module(package: ModuleType):
    assert loaded() == set() and "Thing" not in vars(package)
    thing = package.Thing
    assert loaded() == {"heavy"} and thing is sys.modules[f"{PACKAGE}.heavy"].Thing
    assert vars(package)["Thing"] is thing, "asked for once"
    assert package.fact == "far down" and loaded() == {"heavy", "deep", "deep.inner"}


def test_its_modules_own_name_is_what_is_called_so_in_it_else_the_module(package: ModuleType):
    assert package.namesake() == "the function" and package.namesake() == "the function"
    assert package.whole.fact == "the module" and package.whole is sys.modules[f"{PACKAGE}.whole"]
    assert package.inner is sys.modules[f"{PACKAGE}.deep.inner"]


@pytest.mark.parametrize("name", ["nosuch", "hidden", "Thin", ""])
def test_an_unknown_name_is_an_attribute_error_that_names_the_package(name: str, package: ModuleType):
    with pytest.raises(AttributeError, match=rf"module '{PACKAGE}' has no attribute '{name}'"):
        getattr(package, name)
    assert not hasattr(package, "nosuch") and loaded() == set()


def test_names_are_listed_before_they_are_imported(package: ModuleType):
    names = {"Thing", "other", "namesake", "whole", "inner", "fact"}
    assert names < set(dir(package)) and "__name__" in dir(package) and set(package.__all__) == names
    assert dir(package) == sorted(dir(package)) and loaded() == set()
    space: dict[str, object] = {}
    exec(f"from {PACKAGE} import *", space)
    assert names < space.keys() and space["other"] == 7


@pytest.mark.parametrize("name", ["cmmlib", "cmmlib.analysis", "cmmlib.evaluation", "cmmlib.experiments", "cmmlib.models"])
def test_every_name_that_a_package_offers_can_be_had(name: str):
    package = importlib.import_module(name)
    assert package.__all__ and set(package.__all__) <= set(dir(package))
    submodules = {found.name for found in pkgutil.iter_modules(package.__path__)}
    for offered in package.__all__:
        value = getattr(package, offered)
        assert value is not None
        assert isinstance(value, ModuleType) or offered not in submodules, f"{offered}: imported, the module hides it"
