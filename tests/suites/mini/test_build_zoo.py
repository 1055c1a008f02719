"""Rebuilding the zoo: another seed, and what is asked of the one that ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from transformers import CLIPModel, CLIPTokenizer

from cmmlib.suites.mini.build import pretraining, zoo
from cmmlib.suites.mini.build.architecture import with_tower
from cmmlib.suites.mini.build.embeddings import accuracy, zero_shot_head
from cmmlib.suites.mini.build.finetuning import FINETUNE
from cmmlib.suites.mini.build.fourth import FINETUNED, FOURTH, PRETRAINED, SHAPE
from cmmlib.suites.mini.packing import unpack
from cmmlib.suites.mini.render import draw_test
from cmmlib.suites.mini.shipped import ZOO
from cmmlib.suites.mini.suite import MiniSuite
from cmmlib.suites.mini.tasks import TASKS
from cmmlib.suites.zoos.folders import folder_of

from .shipped import ACCURACIES, BACKBONE, SHIPPED, stored


def test_another_seed_fine_tunes_the_base_that_ships(suite, monkeypatch, tmp_path):
    dice = next(task for task in TASKS if task.name == "dice")
    monkeypatch.setattr(zoo, "TASKS", (dice,))
    monkeypatch.setattr(FINETUNE, "images", 60)
    monkeypatch.setattr(FINETUNE, "steps", 2)
    monkeypatch.setenv("CMMLIB_CACHE", str(tmp_path / "cache"))
    towers = {}
    for seed in (1, 2):
        zoo.build(tmp_path / str(seed), BACKBONE, seed)
        other = MiniSuite(tmp_path / str(seed))
        assert other.backbones == (BACKBONE,) and other.content_hash(BACKBONE) != suite.content_hash(BACKBONE)
        assert (Path(other.base(BACKBONE)) / "model.safetensors").read_bytes() == (
            folder_of(ZOO, BACKBONE) / "base" / "model.safetensors"
        ).read_bytes()
        towers[seed] = load_file(Path(other.checkpoint(BACKBONE, "dice")) / "model.safetensors")
    _, base = stored(BACKBONE)
    for one, another in ((towers[1], base), (towers[2], base), (towers[1], towers[2])):
        assert any(not np.array_equal(one[name], another[name]) for name in base)


def test_the_fourth_backbone_is_made_by_its_own_recipes(monkeypatch, tmp_path):
    dice = next(task for task in TASKS if task.name == "dice")
    for module in (zoo, pretraining):
        monkeypatch.setattr(module, "TASKS", (dice,))
    for recipe, changes in (
        (PRETRAINED, {"per_task": 6, "steps": 2, "batch": 4, "save_every": 1}),
        (FINETUNED, {"images": 60, "steps": 2}),
        (FINETUNE, {"images": 0}),  # no recipe of a backbone that ships may be used
    ):
        for name, value in changes.items():
            monkeypatch.setattr(recipe, name, value)
    monkeypatch.setenv("CMMLIB_CACHE", str(tmp_path / "cache"))
    first = zoo.build(tmp_path / "one", FOURTH)
    tensors = load_file(Path(MiniSuite(tmp_path / "one").checkpoint(FOURTH, "dice")) / "model.safetensors")
    assert tensors["vision_model.pre_layrnorm.weight"].shape == (SHAPE["hidden_size"],)
    monkeypatch.setattr(zoo, "pretrain", None)
    monkeypatch.setattr(zoo, "finetune", None)
    assert zoo.build(tmp_path / "one", FOURTH) == first  # nothing is made twice
    assert MiniSuite(tmp_path / "one").backbones == (FOURTH,)


@pytest.mark.parametrize("backbone", SHIPPED)
def test_acceptance_figures(backbone):
    """The suite behaves like CLIP: see the README for what was asked of it."""
    zero_shot, individual = (list(ACCURACIES[backbone][key].values()) for key in ("zero_shot", "individual"))
    assert 30 <= np.mean(zero_shot) <= 60 and np.mean(individual) >= 93
    assert all(own > before for own, before in zip(individual, zero_shot, strict=True))
    folder, base = stored(backbone)
    towers = [unpack(base, load_file(folder / "deltas" / f"{task.name}.safetensors")) for task in TASKS[:8]]
    average = {name: np.mean([tower[name] for tower in towers], axis=0) for name in base}
    clip = CLIPModel.from_pretrained(folder / "base").eval()
    merged, tokenizer = with_tower(clip, average), CLIPTokenizer.from_pretrained(ZOO / "tokenizer")
    found = [accuracy(merged, zero_shot_head(clip, tokenizer, task), *draw_test(task.name)) for task in TASKS[:8]]
    assert np.mean(found) > np.mean(zero_shot[:8]) + 3
