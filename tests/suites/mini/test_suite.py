"""The suite: models and test sets in the cache, and the accuracies it claims."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from cmmlib.suites import load_suite
from cmmlib.suites.mini.shipped import ZOO
from cmmlib.suites.mini.suite import BACKBONES, MiniSuite
from cmmlib.suites.zoos.folders import folder_of

from .shipped import ACCURACIES, BACKBONE, SHAPES, SHIPPED


@pytest.mark.parametrize("backbone", SHIPPED)
def test_materialised_models_open_in_transformers(suite, backbone):
    from safetensors import safe_open
    from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel, CLIPVisionModel

    base, tower = suite.base(backbone), suite.checkpoint(backbone, "dice")
    for cls, folder in ((CLIPModel, base), (CLIPVisionModel, tower)):
        model, info = cls.from_pretrained(folder, output_loading_info=True)
        assert not any(info.values()), info
        vision = getattr(model, "vision_model", model)
        assert (*vision.embeddings.position_embedding.weight.shape, len(vision.encoder.layers)) == SHAPES[backbone]
    with safe_open(Path(tower) / "model.safetensors", "numpy") as file:
        assert all(name.startswith("vision_model.") for name in file.keys())  # noqa: SIM118
    assert AutoImageProcessor.from_pretrained(base, use_fast=False).size["shortest_edge"] == 36
    assert AutoTokenizer.from_pretrained(base).model_max_length == 24


@pytest.mark.parametrize(("backbone", "task_name"), [(BACKBONE, "mnist"), *((name, "hebrew") for name in SHIPPED)])
def test_accuracies_are_the_committed_ones(suite, backbone, task_name):
    """Plain transformers code, no other part of this package."""
    from transformers import CLIPModel, CLIPTokenizer, CLIPVisionModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    task = next(task for task in suite.tasks if task.name == task_name)
    folder = suite.base(backbone)
    clip, tokenizer = CLIPModel.from_pretrained(folder).eval(), CLIPTokenizer.from_pretrained(folder)
    test = suite.test_set(task_name)
    images = CLIPImageProcessorPil.from_pretrained(folder)(list(test["image"]), return_tensors="pt")
    tower = CLIPVisionModel.from_pretrained(suite.checkpoint(backbone, task_name)).eval()
    with torch.inference_mode():
        rows = []
        for label in range(len(task.class_names)):
            tokens = tokenizer(task.prompts(label), padding=True, return_tensors="pt")
            text = clip.get_text_features(**tokens).pooler_output
            rows.append((text / text.norm(dim=-1, keepdim=True)).mean(0))
        head = torch.stack(rows)
        head = head / head.norm(dim=-1, keepdim=True)
        for kind, vision in (("individual", tower), ("zero_shot", clip.vision_model)):
            guesses = (clip.visual_projection(vision(**images).pooler_output) @ head.T).argmax(1)
            found = 100 * np.mean(guesses.numpy() == np.array(test["label"]))
            assert found == pytest.approx(ACCURACIES[backbone][kind][task_name], abs=1.5)


@pytest.mark.parametrize("damage", ["truncate", "alter", "delete"])
@pytest.mark.parametrize("kind", ["base", "tower", "data"])
def test_a_damaged_cache_is_repaired(suite, kind, damage):
    make = {
        "base": lambda: Path(suite.base(BACKBONE)) / "model.safetensors",
        "tower": lambda: Path(suite.checkpoint(BACKBONE, "dice")) / "model.safetensors",
        "data": lambda: (suite.test_set("dice"), next((suite.root / "data" / "dice").rglob("*.parquet")))[1],
    }[kind]
    path = make()
    whole = path.read_bytes()
    if damage == "truncate":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "alter":
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes(200) + whole[middle + 200 :])
    else:
        path.unlink()
    assert make().read_bytes() == whole
    assert not list(path.parent.parent.glob(".*")), "temporary folders remain"


def test_a_rendering_that_deviates_is_kept_with_a_warning(suite, monkeypatch, tmp_path):
    monkeypatch.setenv("CMMLIB_CACHE", str(tmp_path))
    monkeypatch.setitem(suite.checksums["test_sets"], "dice", "another")
    with pytest.warns(UserWarning, match="test set of task dice"):
        suite.test_set("dice")
    with pytest.warns(UserWarning, match="test set of task dice"):  # said again on every use
        suite.test_set("dice")


def test_content_hash_follows_zoo_and_tasks(suite, tmp_path):
    shutil.copytree(ZOO, tmp_path / "zoo")
    assert MiniSuite(tmp_path / "zoo").content_hash(BACKBONE) == suite.content_hash(BACKBONE)
    (folder_of(tmp_path / "zoo", BACKBONE) / "accuracies.json").write_text("{}")
    assert MiniSuite(tmp_path / "zoo").content_hash(BACKBONE) == suite.content_hash(BACKBONE)
    delta = folder_of(tmp_path / "zoo", SHIPPED[-1]) / "deltas" / "dice.safetensors"
    delta.write_bytes(delta.read_bytes()[:-1] + b"?")
    other = MiniSuite(tmp_path / "zoo")
    changed = {name: other.content_hash(name) != suite.content_hash(name) for name in SHIPPED}
    assert changed == {name: name == SHIPPED[-1] for name in SHIPPED}  # another backbone's scores stay as they are


def test_unknown_names_are_errors_with_the_choices(suite):
    with pytest.raises(ValueError, match=r"backbone 'ViT-B/32'.*ViT-mini/12"):
        suite.base("ViT-B/32")
    for call in (suite.test_set, lambda name: suite.checkpoint(BACKBONE, name)):
        with pytest.raises(ValueError, match=r"task 'cats'.*greek"):
            call("cats")
    with pytest.raises(ValueError, match="1 to 20"):
        suite.task_names(21)


def test_a_zoo_has_the_backbones_that_are_complete(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no complete zoo in .*mini\.build --out"):
        MiniSuite(tmp_path)
    shutil.copy(ZOO / "test_sets.json", tmp_path)
    for name in BACKBONES[::2]:
        folder_of(tmp_path, name).mkdir()
        shutil.copy(folder_of(ZOO, BACKBONE) / "checksums.json", folder_of(tmp_path, name))
    (folder_of(tmp_path, BACKBONES[1]) / "base").mkdir(parents=True)  # a build that was stopped
    assert MiniSuite(tmp_path).backbones == BACKBONES[::2]


def test_what_is_sent_to_another_machine_names_no_folder_of_this_one(suite):
    sent = pickle.dumps(MiniSuite())
    assert str(ZOO).encode() not in sent
    assert pickle.loads(sent).content_hash(BACKBONE) == suite.content_hash(BACKBONE)


def test_the_mini_suite_has_keys_and_a_source():
    suite = load_suite("mini", limit=3)
    assert len({suite.test_set_key(name) for name in suite.task_names()}) == 20
    (row,) = suite.sources(suite.backbones[0], suite.task_names())
    assert row["id"] == "mini" and row["revision"] == load_suite("mini").content_hash(BACKBONE)
