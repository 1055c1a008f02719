"""The folder that a merge lives in: what it is never written over, what is swept, who holds it."""

from __future__ import annotations

import copy
import multiprocessing
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cmmlib import ContinualMerger
from cmmlib.merging.state_folder import StateFolder, StateInUse

from ..helpers.models import BASE, TASKS, contents


def test_leftovers_are_swept_on_opening_and_nothing_else(begun: Path):
    for name in ("running-2.safetensors", ".running-2.safetensors.tmp", ".state.json.tmp", "notes.txt"):
        (begun / name).write_text("x")
    ContinualMerger.load(begun)
    assert sorted(path.name for path in begun.iterdir()) == ["lock", "notes.txt", "running-1.safetensors", "state.json"]


def test_saving_never_overwrites(begun: Path, tmp_path: Path):
    before = contents(begun)
    with pytest.raises(FileExistsError, match="exists and is not empty"):
        ContinualMerger(BASE, "magmax").save(begun)
    assert contents(begun) == before


def _hold(folder: Path, ready: multiprocessing.Event, done: multiprocessing.Event) -> None:
    with StateFolder(folder).locked():
        ready.set()
        done.wait(60)


def test_a_state_in_use_by_another_process_is_refused(begun: Path):
    context = multiprocessing.get_context("spawn")  # a fork has none of the threads that torch may wait for
    ready, done = context.Event(), context.Event()
    merger, before = ContinualMerger.load(begun), contents(begun)
    holder = context.Process(target=_hold, args=(begun, ready, done))
    holder.start()
    assert ready.wait(60)
    for attempt in (lambda: merger.add(TASKS[1]), lambda: ContinualMerger.load(begun), merger.merged):
        with pytest.raises(StateInUse, match="is in use by another process"):
            attempt()
    assert contents(begun) == before
    done.set()
    holder.join()
    merger.add(TASKS[1])


def test_names_never_become_paths(tmp_path: Path):
    base = {"../../evil": torch.ones(2), "/etc/evil": torch.ones(2), "a\x00b": torch.zeros(1)}
    model = {key: x + 0.1 for key, x in copy.deepcopy(base).items()}
    save_file(base, tmp_path / "base.safetensors")
    merger = ContinualMerger(tmp_path / "base.safetensors", "magmax")
    merger.save(tmp_path / "deep" / "state")
    ContinualMerger.load(tmp_path / "deep" / "state").add(model, name="../../x/../y").export(tmp_path / "deep" / "out")
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert found == [
        "base.safetensors",
        "deep/out/README.md",
        "deep/out/model.safetensors",
        "deep/state/lock",
        "deep/state/running-1.safetensors",
        "deep/state/state.json",
    ]
