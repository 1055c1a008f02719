"""The merged model: the base's own names and dtypes, and the caller's to change."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cmmlib import ContinualMerger, merge

from ..helpers.models import GOLDEN, METHODS, QUICK, State, same, without_prefix


def test_result_has_the_bases_own_names(clip_base: State, clip_models: list[State]):
    linear = ["*_proj.weight", "*.fc?.weight"]
    expected = merge(clip_base, clip_models[:2], linear=linear)
    bare = merge(without_prefix(clip_base), clip_models[:2], linear=linear)
    assert expected.keys() == clip_base.keys()
    assert same(bare, without_prefix(expected))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("method", METHODS)
def test_result_has_the_bases_own_dtypes(method: str, dtype: torch.dtype, toy: tuple):
    base, models = toy
    base = {"fc.weight": base["fc.weight"].to(dtype), "fc.bias": base["fc.bias"]}
    merger = ContinualMerger(base, method, linear=["fc.weight"], **QUICK.get(method, {}))
    for model in models:  # may have dtypes of their own
        merger.add(model)
    assert merger.recipe.compute_dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert {key: x.dtype for key, x in merger.merged().items()} == {"fc.weight": dtype, "fc.bias": torch.float32}
    assert {x.dtype for x in merger.merged(torch.float64).values()} == {torch.float64}
    precise = merger.merged(torch.float64)["fc.weight"]
    assert torch.allclose(merger.merged()["fc.weight"].double(), precise, rtol=torch.finfo(dtype).eps)


def test_computing_in_float64_shows_only_in_the_rounding(clip_base: State, clip_models: list[State]):
    single, double = (
        merge(clip_base, clip_models[:3], method="weight_average", compute_dtype=d) for d in (None, torch.float64)
    )
    assert all(double[key].dtype == torch.float32 for key in double)
    assert all(torch.allclose(single[key], double[key], atol=1e-6) for key in single)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_models_are_merged_in_float32(dtype: torch.dtype, tmp_path: Path):
    base, models = load_file(GOLDEN / "base.safetensors"), [load_file(GOLDEN / f"task{i}.safetensors") for i in range(2)]
    halves = [{key: x.to(dtype) for key, x in state.items()} for state in (base, models[0])]
    save_file(halves[0], tmp_path / "base.safetensors")
    merger = ContinualMerger(tmp_path / "base.safetensors", "weight_average").add(halves[1]).add(models[1])
    merger.save(tmp_path / "state")
    assert {x.dtype for x in load_file(tmp_path / "state" / "running-2.safetensors").values()} == {torch.float32}
    merged = merger.merged(torch.float32)
    expected = {key: (halves[1][key].float() + models[1][key]) / 2 for key in base}
    assert all(torch.allclose(merged[key], expected[key], atol=1e-6) for key in base)
    assert {x.dtype for x in merger.merged().values()} == {dtype}


def test_results_are_the_callers_to_change(toy: tuple):
    base, models = toy
    merger = ContinualMerger(base, "opcm", linear=["fc.weight"]).add(models[0])
    kept, before = copy.deepcopy(base), merger.merged()
    for tensor in merger.merged().values():
        tensor.zero_()
    assert same(merger.merged(), before) and same(base, kept)


def test_nothing_merged_yet_is_an_error(toy: tuple):
    with pytest.raises(ValueError, match=r"no model has been merged yet: call add\(model\) first"):
        ContinualMerger(toy[0], "magmax").merged()
