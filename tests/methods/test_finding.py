"""Methods of one's own by name: from a file, a module, an installed package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import cmmlib
from cmmlib import get_method, method_names
from cmmlib.methods.finding import known_method, short_name

from ..helpers.own_method import FADING, write_fading


def test_a_method_in_a_file_merges(toy: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    base, models = toy
    name = write_fading(tmp_path)
    monkeypatch.chdir(tmp_path)
    for given in (name, "my_methods.py:fading", "./nowhere/../my_methods.py:fading"):
        merged = cmmlib.merge(base, models[:2], method=given, fade=0.25)
        for key in base:
            torch.testing.assert_close(merged[key], 0.75 * models[0][key] + 0.25 * models[1][key])
        assert get_method(given).name == name
    assert short_name(name) == "my_methods.py:fading" and short_name("opcm") == "opcm"


def test_its_file_is_run_once_and_again_when_it_has_changed(tmp_path: Path):
    name = write_fading(tmp_path, text=FADING + "\nopen(__file__ + '.log', 'a').write('run ')\n")
    log = tmp_path / "my_methods.py.log"
    first = get_method(name)
    assert get_method(name) is first and log.read_text() == "run "
    write_fading(tmp_path, text=FADING.replace("0.5", "0.25") + "\nopen(__file__ + '.log', 'a').write('run ')\n")
    os.utime(tmp_path / "my_methods.py", ns=(0, 0))
    second = get_method(name)
    assert log.read_text() == "run run " and second.defaults == {"fade": 0.25} and second.source_hash != first.source_hash
    (tmp_path / "my_methods.py").unlink()
    assert get_method(name) is second


def test_two_files_of_one_name_and_a_cell_do_not_get_in_each_others_way(tmp_path: Path):
    @cmmlib.method
    def fading(merged, task_vector, ctx):
        return task_vector

    one = write_fading(tmp_path / "a")
    two = write_fading(tmp_path / "b", text=FADING.replace("0.5", "0.25"))
    assert get_method(one).defaults == {"fade": 0.5} and get_method(two).defaults == {"fade": 0.25}
    assert get_method("fading").step is fading
    assert one not in method_names() and "fading" in method_names()


def test_a_file_may_import_its_neighbours_and_what_it_guards_is_not_run(tmp_path: Path):
    (tmp_path / "its_neighbour.py").write_text("FACTOR = 0.25\n")
    text = "from its_neighbour import FACTOR\n" + FADING.replace("0.5", "FACTOR") + "if __name__ == '__main__': 1 / 0\n"
    path = list(sys.path)
    try:
        assert get_method(write_fading(tmp_path, text=text)).defaults == {"fade": 0.25}
    finally:
        sys.modules.pop("its_neighbour", None)
    assert sys.path == path


REFUSED = [
    (FADING, "my_methods.py", r"my_methods.py: say which of its functions: my_methods.py:fading$"),
    ("", "my_methods.py", r"it has no method, which looks like @cmmlib.method above def mine\(merged, task_vector, ctx, \*"),
    (FADING, "my_methods.py:fadign", r"my_methods.py:fadign does not exist; methods there: fading$"),
    ("def f(x): ...", "my_methods.py:f", r"my_methods.py:f is no method; put @cmmlib.method above def mine\(merged, task"),
    ("f = []", "my_methods.py:f", r"is no method"),
    (
        "import cmmlib\n@cmmlib.method\ndef f(models): ...",
        "my_methods.py:f",
        r"f\(models\) is no method; one looks like @c",
    ),
    ("def f(", "my_methods.py:f", r"my_methods.py fails when it is run: SyntaxError: '\(' was never closed"),
    ("import nosuch_module", "my_methods.py:f", r"fails when it is run: ModuleNotFoundError: No module named 'nosuch_mod"),
    (FADING.replace("fading", "ties"), "my_methods.py:ties", r"'ties' belongs to a method of cmmlib; choose another"),
    ("", "nosuch_module:f", r"no module nosuch_module; is it installed, or its folder in PYTHONPATH\?"),
    ("", "json:dumps", r"json:dumps is no method; put @cmmlib.method above"),
    ("", "json:nosuch", r"json:nosuch does not exist; methods there: none"),
]


@pytest.mark.parametrize(("text", "name", "message"), REFUSED)
def test_what_is_no_method_is_refused_in_a_line(text, name, message, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_fading(tmp_path, text=text)
    monkeypatch.chdir(tmp_path)
    before = method_names()
    with pytest.raises(ValueError, match=message) as error:
        get_method(name)
    assert "\n" not in str(error.value)
    assert method_names() == before


def test_a_missing_file_is_named_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"there is no file {tmp_path}/nowhere.py"):
        get_method("nowhere.py:fading")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages: one that announces a method."""
    folder = tmp_path / "packages"
    write_fading(folder, "some_package_of_methods.py")
    about = folder / "some_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: some-package\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[cmmlib.methods]\nannounced = some_package_of_methods:fading\n")
    monkeypatch.syspath_prepend(folder)
    yield folder
    sys.modules.pop("some_package_of_methods", None)


@pytest.mark.usefixtures("packages")
def test_a_method_in_a_module_is_imported():
    method = get_method("some_package_of_methods:fading")
    assert method.defaults == {"fade": 0.5} and method.name == "some_package_of_methods:fading"
    assert get_method("fading").step is method.step, "as after an import"


def test_installed_packages_announce_their_methods(packages: Path):
    assert "announced" in method_names() and "some_package_of_methods" not in sys.modules
    assert get_method("announced").paper == "https://example.org/yours" and known_method("announced").name == "announced"
    (packages / "other-1.0.dist-info").mkdir()
    (packages / "other-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (packages / "other-1.0.dist-info" / "entry_points.txt").write_text(
        "[cmmlib.methods]\ntwice = nosuch:a\nbad = nosuch:a\n"
    )
    about = packages / "some_package-1.0.dist-info" / "entry_points.txt"
    about.write_text(about.read_text() + "twice = some_package_of_methods:fading\n")
    with pytest.raises(ValueError, match=r"'twice' is announced by \S+ \(\S+\) and \S+ \(\S+\); name one as package"):
        get_method("twice")
    with pytest.raises(ValueError, match=r"method 'bad' \(nosuch:a\) fails when it is run: ModuleNotFoundError"):
        get_method("bad")


def test_its_source_travels(tmp_path: Path):
    """Another interpreter that has neither the file nor its neighbour gets the method from the bytes alone."""
    (tmp_path / "another_neighbour.py").write_text("def half():\n    return 0.5\n")
    text = "import another_neighbour\n" + FADING.replace("+ fade", "+ another_neighbour.half()")
    method = get_method(write_fading(tmp_path, text=text))
    ray = pytest.importorskip("ray", reason="Ray is missing; to have it: pip install -e '.[ray]'")
    from cmmlib.experiments.ray_connection import send_along

    send_along(ray, [method])
    sys.modules.pop("another_neighbour")
    for file in tmp_path.glob("*.py"):
        file.unlink()
    (tmp_path / "method.pickle").write_bytes(ray.cloudpickle.dumps(method))
    script = (
        "import pickle, sys, torch; from cmmlib.methods import Context; from cmmlib.methods.registry import register\n"
        "method = pickle.load(open(sys.argv[1], 'rb')); register(method)\n"
        "from cmmlib import get_method; assert get_method(method.name) is method\n"
        "print(method.step(torch.zeros(2), torch.ones(2), Context(t=2)).tolist(), method.source_hash)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "method.pickle")], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.split() == ["[0.5,", "0.5]", method.source_hash], done.stderr
