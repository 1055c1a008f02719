"""The merger: what it takes, what it saves at every step, and that it leaves its inputs alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPModel, CLIPVisionModel

from cmmlib import ContinualMerger, merge

from ..helpers.models import METHODS, PREFIX, QUICK, State, same, without_prefix


@pytest.mark.parametrize("method", METHODS)
def test_folders_files_modules_and_mappings_are_one_and_the_same(
    method: str, golden: Path, folder: Callable, towers: list[nn.Module], clip_models: list[State]
):
    params = QUICK.get(method, {})
    expected = merge(folder("base"), [folder("task0"), folder("task1")], method=method, **params)
    as_files = merge(
        golden / "base.safetensors", [str(golden / f"task{i}.safetensors") for i in (0, 1)], method=method, **params
    )
    as_modules = merge(towers[0], towers[1:], method=method, **params)
    mixed = merge(folder("base"), [without_prefix(clip_models[0]), towers[2]], method=method, **params)
    assert all(key.startswith(PREFIX) for key in expected)
    assert same(expected, as_files) and same(expected, mixed)
    assert as_modules.keys() == towers[0].state_dict().keys() - {"embeddings.position_ids"}
    assert same(without_prefix(as_modules), without_prefix(expected))


@pytest.mark.parametrize("method", ["opcm", "dop", "ties"])
def test_the_vision_tower_is_taken_out_of_a_whole_clip(method: str, whole_clips: list[CLIPModel], tmp_path: Path):
    params = QUICK.get(method, {})
    base, *models = whole_clips
    merged = merge(base, models, method=method, **params)
    assert merged and all(key.startswith(PREFIX) for key in merged)
    towers = [module.vision_model for module in whole_clips]
    tower_states = [{key.removeprefix(PREFIX): x for key, x in tower.state_dict().items()} for tower in towers]
    bare = merge(tower_states[0], tower_states[1:], method=method, **params, linear=["*_proj.weight", "*.fc?.weight"])
    assert same(without_prefix(merged), without_prefix(bare))
    base.save_pretrained(tmp_path / "base")  # the whole model on disk, towers in memory
    assert same(without_prefix(merge(tmp_path / "base", tower_states[1:], method=method, **params)), without_prefix(bare))


@pytest.mark.parametrize("method", METHODS)
def test_inputs_are_left_alone_and_need_no_gradient(method: str, toy: tuple):
    base, models = toy
    parameters = [{key: nn.Parameter(x.clone()) for key, x in state.items()} for state in (base, *models)]
    merged = merge(parameters[0], parameters[1:], method=method, linear=["fc.weight"], **QUICK.get(method, {}))
    assert not any(tensor.requires_grad for tensor in merged.values())
    assert all(same(state, kept) for state, kept in zip(parameters, (base, *models), strict=True))


@pytest.mark.parametrize("method", ["opcm", "dop"])
def test_compat_differs_in_the_class_embedding(method: str, folder: Callable, clip_base: State, clip_models: list[State]):
    key = PREFIX + "embeddings.class_embedding"
    tasks = [folder(f"task{i}") for i in range(3)]
    params = QUICK.get(method, {})
    ours, compat = (merge(folder("base"), tasks, method=method, reference_compat=c, **params)[key] for c in (False, True))
    taus = [model[key] - clip_base[key] for model in clip_models[:3]]
    if method == "dop":
        assert torch.equal(compat, clip_base[key])  # never visited
        assert torch.allclose(ours - clip_base[key], (taus[0] + taus[1]) / 4 + taus[2] / 2, atol=1e-6)
    else:
        direction = nn.functional.cosine_similarity
        assert direction(compat - clip_base[key], taus[0], dim=0) > 0.999  # the first model's, shrunk
        assert (compat - clip_base[key]).norm() < (ours - clip_base[key]).norm()
        assert direction(ours - clip_base[key], sum(taus), dim=0) > 0.999


@pytest.mark.parametrize("whole", [False, True])
def test_every_step_is_saved_so_that_transformers_loads_it(
    whole: bool, towers: list[CLIPVisionModel], whole_clips: list[CLIPModel], tmp_path: Path
):
    base, *models = whole_clips if whole else towers
    merger = ContinualMerger(base, "opcm", save_every_step=tmp_path / "steps")
    for i, model in enumerate(models):
        merger.add(model, name=f"task {i}/x")
        step = tmp_path / "steps" / f"step_0{i + 1}_task_{i}_x"
        stored = load_file(step / "model.safetensors")
        assert all(key.startswith(PREFIX) for key in stored)
        loaded, info = CLIPVisionModel.from_pretrained(step, output_loading_info=True)
        assert not any(info[key] for key in info), info
        assert same(without_prefix(loaded.state_dict()), without_prefix(merger.merged()))
    assert sorted(path.name for path in (tmp_path / "steps").iterdir()) == ["step_01_task_0_x", "step_02_task_1_x"]


def test_saving_from_a_folder_keeps_its_configuration(folder: Callable, tmp_path: Path):
    ContinualMerger(folder("base"), "weight_average", save_every_step=tmp_path).add(folder("task0"))
    _, info = CLIPVisionModel.from_pretrained(tmp_path / "step_01_task0", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]


def test_saving_never_overwrites(toy: tuple, tmp_path: Path):
    base, models = toy
    ContinualMerger(base, "magmax", save_every_step=tmp_path).add(models[0], name="a")
    before = (tmp_path / "step_01_a" / "model.safetensors").read_bytes()
    merger = ContinualMerger(base, "magmax", save_every_step=tmp_path)
    with pytest.raises(FileExistsError, match="step_01_a exists; give save_every_step a new folder"):
        merger.add(models[1], name="a")
    assert len(merger) == 0 and (tmp_path / "step_01_a" / "model.safetensors").read_bytes() == before
