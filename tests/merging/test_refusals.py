"""A merge that lives in a folder: a refusal says why, and leaves every byte of it as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from cmmlib import ContinualMerger

from ..helpers.models import BASE, TASKS, contents

Fault = Callable[[Path, Path], object]  # (state, scratch) → the model to add


def _changed(edit: Callable[[dict[str, Tensor]], object]) -> Fault:
    def make(_: Path, scratch: Path) -> Path:
        tensors = load_file(TASKS[1])
        edit(tensors)
        save_file(tensors, scratch / "bad.safetensors")
        return scratch / "bad.safetensors"

    return make


def _cut(_: Path, scratch: Path) -> Path:
    (scratch / "bad.safetensors").write_bytes(TASKS[1].read_bytes()[:-100])
    return scratch / "bad.safetensors"


def _edited(**changes: object) -> Fault:
    def make(folder: Path, _: Path) -> Path:
        record = json.loads((folder / "state.json").read_text())
        (folder / "state.json").write_text(json.dumps(record | changes))
        return TASKS[1]

    return make


def _flipped(folder: Path, _: Path) -> Path:
    path = folder / "running-1.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    return TASKS[1]


def _broken_json(folder: Path, _: Path) -> Path:
    (folder / "state.json").write_text('{"format"')
    return TASKS[1]


def _lost(folder: Path, _: Path) -> Path:
    (folder / "running-1.safetensors").unlink()
    return TASKS[1]


BIAS, WEIGHT = "vision_model.encoder.layers.0.mlp.fc1.bias", "vision_model.encoder.layers.0.mlp.fc1.weight"
REFUSALS: dict[str, tuple[Fault, str]] = {
    "missing": (_changed(lambda t: t.pop(BIAS)), r"bad\.safetensors lacks '.*fc1\.bias'"),
    "extra": (
        _changed(lambda t: t.update({"vision_model.head": torch.ones(2)})),
        r"and the base has not, 'vision_model\.head'",
    ),
    "shape": (_changed(lambda t: t.update({BIAS: t[BIAS][:-1].clone()})), r"bad\.safetensors: '.*fc1\.bias' has shape"),
    "nan": (_changed(lambda t: t[WEIGHT].fill_(float("nan"))), r"bad\.safetensors: '.*fc1\.weight' holds NaN"),
    "inf": (
        _changed(lambda t: t[WEIGHT][0].fill_(float("inf"))),
        r"bad\.safetensors: '.*fc1\.weight' holds NaN or infinity",
    ),
    "integers": (_changed(lambda t: t.update({WEIGHT: t[WEIGHT].to(torch.int8)})), r"'.*fc1\.weight' has weights in int8"),
    "truncated": (_cut, r"bad\.safetensors is not a valid safetensors file .*fetch it again"),
    "repeated": (lambda *_: TASKS[0], r"task0\.safetensors has been merged before, as model 1, 'task0'.*--allow-repeat"),
    "the base": (lambda *_: BASE, "equals the base"),
    "no model": (lambda _, scratch: scratch / "nosuch", "no such file or folder"),
    "version": (_edited(version=3, cmmlib="9.1"), r"state\.json is a state of version 3, this cmmlib reads version 2.*9\.1"),
    "no state": (_edited(format="x"), r"state\.json is not the state of a merge"),
    "elsewhere": (_edited(running="../running-1.safetensors"), r"state\.json is damaged \('running' names no generation"),
    "broken": (_broken_json, r"state\.json is damaged .*restore the state from a backup"),
    "flipped bit": (_flipped, r"running-1\.safetensors: '.*' is damaged \(its checksum differs\)"),
    "lost": (_lost, r"running-1\.safetensors is missing"),
}


@pytest.mark.parametrize("fault", REFUSALS)
def test_a_refusal_says_why_and_changes_no_byte(fault: str, begun: Path, tmp_path: Path):
    make, message = REFUSALS[fault]
    model = make(begun, tmp_path)
    before = contents(begun)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        ContinualMerger.load(begun).add(model)
    assert contents(begun) == before


def test_another_base_is_refused_by_content_and_by_shape(begun: Path, tmp_path: Path):
    changed = load_file(BASE)
    changed[BIAS] += 1e-6
    save_file(changed, tmp_path / "almost.safetensors")
    save_file({"w": torch.ones(2)}, tmp_path / "other.safetensors")
    before = contents(begun)
    merger = ContinualMerger.load(begun, base=tmp_path / "almost.safetensors")
    for attempt in (lambda: merger.add(TASKS[1]), merger.merged, lambda: merger.export(tmp_path / "out")):
        with pytest.raises(
            ValueError, match=r"almost\.safetensors is not the base that this state was started from .*--base"
        ):
            attempt()
    with pytest.raises(ValueError, match=r"other\.safetensors is not the base"):
        ContinualMerger.load(begun, base=tmp_path / "other.safetensors")
    assert contents(begun) == before and not (tmp_path / "out").exists()


class _Usage:
    free = 1000


def _full(file: object, data: memoryview, _count: list[int] = [0]) -> int:  # noqa: B006  (counts over calls)
    _count[0] += 1
    if _count[0] % 5 == 0:
        raise OSError(28, "No space left on device")
    return file.write(data)


def test_no_disk_space_is_said_before_and_survived_during(begun: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    before = contents(begun)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: _Usage)
        for attempt in (
            lambda: ContinualMerger.load(begun).add(TASKS[1]),
            lambda: ContinualMerger.load(begun).export(tmp_path / "out"),
        ):
            with pytest.raises(OSError, match=r"no disk space: .* MB are needed"):
                attempt()
    with monkeypatch.context() as patch:
        patch.setattr("cmmlib.models.safetensors_writer.write_some", _full)
        for attempt in (
            lambda: ContinualMerger.load(begun).add(TASKS[1]),
            lambda: ContinualMerger.load(begun).export(tmp_path / "out"),
        ):
            with pytest.raises(OSError, match=r"No space left on device.*\.safetensors"):
                attempt()
    assert contents(begun) == before and not (tmp_path / "out").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state"]
