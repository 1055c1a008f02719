"""A state of a method of the user's: its code is never run because a state names it, and other code is warned of."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch

import cmmlib
from cmmlib import ContinualMerger
from cmmlib.cli import main
from cmmlib.methods import registry

from ..helpers.own_method import FADING, write_fading

GOLDEN = Path(__file__).parents[1] / "golden"
BASE, TASKS = str(GOLDEN / "base.safetensors"), [str(GOLDEN / f"task{i}.safetensors") for i in range(3)]
LOUD = FADING + "\nopen(__file__ + '.ran', 'w').close()\n"


@pytest.fixture
def name(tmp_path: Path) -> str:
    return write_fading(tmp_path / "here", text=LOUD)


@pytest.fixture
def state(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """One that another process has started, which knows the method no more."""
    path = str(tmp_path / "state")
    with monkeypatch.context() as patch:
        patch.setattr(registry, "_METHODS", dict(registry._METHODS))
        assert main(["start", path, "--base", BASE, "--method", name, "--set", "fade=0.25"]) == 0
        assert main(["add", path, TASKS[0], "--method", name]) == 0
    (tmp_path / "here" / "my_methods.py.ran").unlink()
    return path


def test_a_state_does_not_run_the_code_that_it_names(state: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    before = (Path(state) / "state.json").read_bytes()
    for command in (["add", state, TASKS[1]], ["export", state, str(tmp_path / "out")]):
        capsys.readouterr()
        assert main(command) == 2
        said = capsys.readouterr().err
        assert f"--method {name}" in said and said.count("\n") == 1
    assert main(["status", state]) == 0 and name in capsys.readouterr().out
    with pytest.raises(ValueError, match="code that is not run because a state names it: if you trust it, give method="):
        ContinualMerger.load(state)
    assert not (tmp_path / "here" / "my_methods.py.ran").exists() and not (tmp_path / "out").exists()
    assert (Path(state) / "state.json").read_bytes() == before


@pytest.mark.parametrize("foreign", ["json:dumps", "antigravity:fly", "os:system"])
def test_nor_does_it_import_a_module(foreign: str, state: str):
    file = Path(state) / "state.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"method": foreign}))
    with pytest.raises(ValueError, match=f"started with {foreign}, code that is not run"):
        ContinualMerger.load(state)


def test_named_again_it_goes_on_to_the_same_bits(state: str, name: str, tmp_path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        merger = ContinualMerger.load(state, method=name).add(TASKS[1])
        # where this process has been told of it, the state may name it
        merger = ContinualMerger.load(state).add(TASKS[2])
    expected = cmmlib.merge(BASE, TASKS, method=name, fade=0.25)
    assert all(torch.equal(merger.merged()[key], expected[key]) for key in expected)
    card = (merger.export(tmp_path / "out") / "README.md").read_text()
    assert "# Merged with my_methods.py:fading" in card and str(tmp_path) not in card


def test_a_file_that_has_gone_or_moved(state: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / "here").rename(tmp_path / "there")
    assert main(["add", state, TASKS[1]]) == 2
    said = capsys.readouterr().err
    assert f"was started with {name}, and there is no such file any more; say where" in said
    moved = str(tmp_path / "there" / "my_methods.py:fading")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(["add", state, TASKS[1], "--method", moved]) == 0
    assert json.loads((Path(state) / "state.json").read_text())["method"] == moved


def test_other_code_is_warned_of_and_another_method_refused(state: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    changed = write_fading(tmp_path / "new", text=FADING.replace("ctx.t == 1", "ctx.t < 3"))
    other = write_fading(tmp_path / "other", text=FADING.replace("fading", "other")).replace(":fading", ":other")
    before = (Path(state) / "state.json").read_bytes()
    for given in ("opcm", other):
        capsys.readouterr()
        assert main(["add", state, TASKS[1], "--method", given]) == 2
        assert "it cannot go on with" in capsys.readouterr().err
    assert (Path(state) / "state.json").read_bytes() == before
    assert main(["add", state, TASKS[1], "--method", changed]) == 0
    assert "has changed since this state was started" in capsys.readouterr().err


def test_a_method_of_a_script_goes_on_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(registry, "_METHODS", dict(registry._METHODS))
        patch.syspath_prepend(tmp_path)
        name = write_fading(tmp_path, "script_methods.py")
        __import__("script_methods")
        ContinualMerger(BASE, "fading").add(TASKS[0]).save(tmp_path / "state")
    with pytest.raises(ValueError, match=r"'fading' that is not known here: import what registers it, or name it with meth"):
        ContinualMerger.load(tmp_path / "state")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ContinualMerger.load(tmp_path / "state", method=name).add(TASKS[1])


def test_merging_in_one_go(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path / "here")
    out = tmp_path / "out"
    assert main(["merge", "--base", BASE, "--method", "my_methods.py:fading", "--out", str(out), *TASKS]) == 0
    assert (out / "model.safetensors").exists()
    assert main(["merge", "--base", BASE, "--method", "nowhere.py:fading", "--out", f"{out} 2", *TASKS]) == 2
