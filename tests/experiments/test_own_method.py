"""A method in a file of the user's, in the grid: local processes find the file, Ray workers get its source."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmmlib.experiments.frames import accuracies
from cmmlib.experiments.grid import run_grid
from cmmlib.experiments.runs import plan
from cmmlib.experiments.store import Results
from cmmlib.methods import get_method
from cmmlib.suites import load_suite

from ..helpers.own_method import FADING, write_fading

NEIGHBOURLY = "from a_neighbour import STRENGTH\n" + FADING.replace("+ fade", "+ STRENGTH * fade")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of a method whose file has a neighbour, named from the folder that it lies in, and of the same by parameters."""
    (tmp_path / "a_neighbour.py").write_text("STRENGTH = 0.5\n")
    write_fading(tmp_path, text=NEIGHBOURLY)
    plain = write_fading(tmp_path, "plain.py")
    monkeypatch.chdir(tmp_path)
    rows = {"Fading": ("my_methods.py:fading", {}), "Plain": (plain, {"fade": 0.25})}
    return plan(rows, 3, [40, 41], every_step=True)


def scores(suite, runs, store):
    frame = accuracies(suite, suite.backbones[0], runs, store)
    assert len(frame) == 2 * 2 * 9
    fading, plain = (
        frame[frame["label"] == label].drop(columns="label").to_numpy().tolist() for label in ("Fading", "Plain")
    )
    return fading, plain


def test_in_local_processes(runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    suite, store = load_suite("mini", limit=20), Results(tmp_path / "scores.sqlite")
    monkeypatch.chdir("/")
    run_grid(suite, suite.backbones[0], runs, store, jobs=2)
    fading, plain = scores(suite, runs, store)
    assert fading == plain
    assert set(store.frame()["method"]) == {"pretrained", "individual", "my_methods.py:fading", "plain.py:fading"}


def test_code_that_changes_meanwhile_is_not_scored(runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from cmmlib.experiments import processes

    before = get_method(runs[0].method).source_hash
    write_fading(tmp_path, text=NEIGHBOURLY.replace("== 1", "< 3"))
    with pytest.raises(ValueError, match=r"my_methods.py:fading' has changed while the grid ran; run it again"):
        processes._work(runs[0], before)


def test_a_file_that_has_gone_is_named_by_local_processes(runs, tmp_path: Path):
    suite, store = load_suite("mini", limit=5), Results(tmp_path / "scores.sqlite")
    (tmp_path / "my_methods.py").unlink()
    with pytest.raises(FileNotFoundError, match=f"there is no file {tmp_path}/my_methods.py"):
        run_grid(suite, suite.backbones[0], runs[:1], store, jobs=1)


@pytest.mark.usefixtures("ray_here")
def test_on_ray_its_source_travels(runs, tmp_path: Path):
    suite, store = load_suite("mini", limit=20), Results(tmp_path / "scores.sqlite")
    for file in tmp_path.glob("*.py"):
        file.unlink()  # as on another machine
    run_grid(suite, suite.backbones[0], runs, store, jobs=2, ray="local")
    fading, plain = scores(suite, runs, store)
    assert fading == plain
