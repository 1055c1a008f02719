"""States that an earlier cmmlib has saved, of every kind of accumulated value, open and go on."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cmmlib import ContinualMerger
from cmmlib.merging.state_json import upgraded

STATES = Path(__file__).parent / "states"
"""Version 1 as cmmlib 0.1.0 wrote it after the golden task0 and task1; ``expected.safetensors``: what task2 gave."""


@pytest.fixture(params=["opcm", "dop_all"])  # a tensor per parameter, a dict of tensors per linear weight
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(STATES / request.param, tmp_path / request.param))


def test_an_earlier_state_goes_on_without_a_warning(state: Path, golden: Path):
    expected = load_file(state / "expected.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of another method's code, say
        merger = ContinualMerger.load(state, base=golden / "base.safetensors")
        merger.add(golden / "task2.safetensors")
    merged = merger.merged()
    assert merged.keys() == expected.keys()
    for key, tensor in expected.items():  # on the machine that wrote it they are equal in every bit
        assert torch.linalg.vector_norm(merged[key] - tensor) <= 1e-6 * torch.linalg.vector_norm(tensor), key


def test_an_earlier_state_says_of_itself_what_it_said(state: Path, golden: Path):
    before = json.loads((state / "state.json").read_text())
    merger = ContinualMerger.load(state, base=golden / "base.safetensors")
    assert [model["name"] for model in merger.standing.models] == ["task0", "task1"]
    merger.add(golden / "task2.safetensors")
    after = json.loads((state / "state.json").read_text())
    assert after["version"] == 2 and after["models"][:2] == before["models"]
    changed = {"running", "running_norm", "models", "composition"}
    kept = upgraded(before)
    assert after.keys() == kept.keys()
    assert {key: after[key] for key in kept if key not in changed} == {key: kept[key] for key in kept if key not in changed}


def test_an_earlier_state_knows_a_repeat_by_its_own_kind_of_hash(state: Path, golden: Path):
    merger = ContinualMerger.load(state, base=golden / "base.safetensors")
    with pytest.raises(ValueError, match="merged before, as model 2, 'task1'"):
        merger.add(golden / "task1.safetensors")


def test_a_state_that_is_begun_now_has_the_same_form(state: Path, golden: Path, tmp_path: Path):
    earlier = json.loads((state / "state.json").read_text())
    ContinualMerger(golden / "base.safetensors", earlier["method"], **earlier["parameters"]).save(tmp_path / "new")
    new = json.loads((tmp_path / "new" / "state.json").read_text())
    kept = upgraded(earlier)
    assert new.keys() == kept.keys() and new["base"].keys() == earlier["base"].keys()
    for key in ("format", "version", "method", "method_code", "parameters", "compute_dtype", "reference_compat"):
        assert new[key] == kept[key], key
    assert new["layers"].pop("convolution") == ["embeddings.patch_embedding.weight"]  # which version 1 did not tell apart
    kept["layers"].pop("convolution")
    assert new["layers"] == kept["layers"]
    assert new["hash_scheme"] == "digests" and new["base"]["hash"] != earlier["base"]["hash"]
