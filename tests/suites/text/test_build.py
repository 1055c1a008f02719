"""Building a zoo of a tiny encoder: it learns, it resumes, and the suite opens it."""

from __future__ import annotations

import json
import pickle
import sys

import pytest
import torch
from safetensors.torch import load_file

from cmmlib import merge
from cmmlib.evaluation import ZeroShotScorer
from cmmlib.models import open_model
from cmmlib.suites import load_suite
from cmmlib.suites.text.build import __main__ as command
from cmmlib.suites.text.build import finetuning, zoo
from cmmlib.suites.text.suite import BACKBONES, TextSuite, zoo_dir

from .conftest import TASKS


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_zoo_is_built_once_and_scores_as_the_build_measured(tiny, monkeypatch, backbone):
    measured = zoo.build(zoo_dir(), backbone, TASKS)
    assert all(measured["individual"][task.name] >= measured["zero_shot"][task.name] for task in TASKS)
    assert sum(measured["individual"].values()) > sum(measured["zero_shot"].values()) + 20
    monkeypatch.setattr(zoo, "finetune", lambda *a: pytest.fail("trained again"))
    monkeypatch.setattr(zoo, "split", lambda *a: pytest.fail("extracted again"))
    assert zoo.build(zoo_dir(), backbone, TASKS) == measured

    suite = pickle.loads(pickle.dumps(load_suite("text")))
    assert suite.backbones == (backbone,)
    scorer = ZeroShotScorer(suite, backbone)
    for task in TASKS:
        own = load_file(f"{suite.checkpoint(backbone, task.name)}/model.safetensors")
        for tensors, kind in ((own, "individual"), (None, "zero_shot")):
            score = scorer.score(tensors, [task.name])[task.name]
            assert score.images == 12 and round(score.accuracy, 2) == measured[kind][task.name]


def test_only_adapted_layers_differ_from_the_base_and_by_a_low_rank(tiny, monkeypatch):
    for how in zoo.RECIPES.values():
        monkeypatch.setattr(how, "rank", how.rank and 3)
    zoo.build(zoo_dir(), "MiniLM-L6-LoRA", TASKS)
    suite = TextSuite()
    base = open_model(suite.base("MiniLM-L6-LoRA"))
    rows: dict[str, list[torch.Tensor]] = {}
    for task in TASKS:
        model = open_model(suite.checkpoint("MiniLM-L6-LoRA", task.name))
        assert base.names == model.names
        for name in base.names:
            change = (model.read(name) - base.read(name)).float()
            if change.any():
                rank = int(torch.linalg.matrix_rank(change, rtol=1e-3))
                rows.setdefault(name, []).append(torch.linalg.svd(change)[2][:rank])
    # six linear layers in each of two blocks, not the pooler
    assert len(rows) == 12 and {len(one) for pair in rows.values() for one in pair} == {3}
    shared = [(one @ other.T).square().sum().item() / 3 for one, other in rows.values()]
    assert sum(shared) / 12 < 0.3  # 3/32 for random rows; of one first factor for all tasks, nearly 1


def test_models_of_texts_merge_by_the_same_methods(tiny):
    zoo.build(zoo_dir(), "MiniLM-L6", TASKS)
    suite = load_suite("text", limit=6)
    models = [suite.checkpoint("MiniLM-L6", task.name) for task in TASKS]
    scorer = ZeroShotScorer(suite, "MiniLM-L6")
    for method in ("weight_average", "opcm", "ties", "dop_all"):
        merged = merge(suite.base("MiniLM-L6"), models, method=method)
        assert all(torch.isfinite(tensor).all() for tensor in merged.values())  # the pooler's task vectors are zero
        assert scorer.score(merged, [task.name for task in TASKS])["any"].images == 6


def test_another_recipe_trains_again(tiny, monkeypatch):
    for backbone in BACKBONES:
        zoo.build(zoo_dir(), backbone, TASKS[:1])
    before = TextSuite()
    monkeypatch.setattr(zoo.RECIPES["MiniLM-L6"], "lr", 5e-3)
    zoo.build(zoo_dir(), "MiniLM-L6", TASKS[:1])
    changed = {name: TextSuite().content_hash(name) != before.content_hash(name) for name in BACKBONES}
    assert changed == {"MiniLM-L6": True, "MiniLM-L6-LoRA": False}  # what was scored of the other stays known


@pytest.mark.parametrize("what", ["recipe", "texts"])
def test_a_zoo_that_is_half_rebuilt_is_not_complete(tiny, monkeypatch, what):
    for backbone in BACKBONES:
        zoo.build(zoo_dir(), backbone, TASKS)
    if what == "recipe":
        monkeypatch.setattr(zoo.RECIPES["MiniLM-L6"], "lr", 5e-3)
    else:
        monkeypatch.setattr(zoo, "made_from", lambda task: "another version of the packages")

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(zoo, "accuracy", stopped)
    with pytest.raises(KeyboardInterrupt):
        zoo.build(zoo_dir(), "MiniLM-L6", TASKS)
    left = {"recipe": ("MiniLM-L6-LoRA",), "texts": ()}[what]  # texts are those of both
    assert tuple(name for name in BACKBONES if (zoo_dir() / name / "checksums.json").exists()) == left
    if left:
        assert TextSuite().backbones == left
        assert TextSuite().not_built == "not built: MiniLM-L6 (python -m cmmlib.suites.text.build --backbone MiniLM-L6)"


def test_texts_that_are_not_the_zoos_are_refused(tiny):
    zoo.build(zoo_dir(), "MiniLM-L6", TASKS)
    path = zoo_dir() / "texts" / "any.json"
    examples = json.loads(path.read_text("utf-8"))
    examples["test"]["labels"].reverse()
    path.write_text(json.dumps(examples), "utf-8")
    with pytest.raises(ValueError, match=r"any.json: not the test set that the models .* build the zoo again"):
        TextSuite().test_set("any")


def test_a_model_that_is_cut_off_is_trained_again(tiny):
    measured = zoo.build(zoo_dir(), "MiniLM-L6", TASKS[:1])
    path = zoo_dir() / "MiniLM-L6" / "indoors" / "model.safetensors"
    whole = {name: tensor.clone() for name, tensor in load_file(path).items()}  # not mapped to what is cut off
    path.write_bytes(path.read_bytes()[:100])
    assert zoo.build(zoo_dir(), "MiniLM-L6", TASKS[:1]) == measured
    assert all(torch.equal(tensor, whole[name]) for name, tensor in load_file(path).items())


def test_adapters_without_peft_are_refused_before_anything_is_trained(tiny, monkeypatch):
    monkeypatch.setattr(finetuning.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["build"])
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'cmmlib\[text\]'"):
        command.main()
    assert not zoo_dir().exists()


def test_a_model_says_whose_it_is(tiny):
    zoo.build(zoo_dir(), "MiniLM-L6", TASKS[:1])
    card = (zoo_dir() / "MiniLM-L6" / "indoors" / "README.md").read_text("utf-8")
    assert "base_model: sentence-transformers/all-MiniLM-L6-v2" in card and "license: apache-2.0" in card
    assert "changed weights: fine-tuned on the task `indoors`" in card


def test_models_are_compared_with_the_reference_runs(tiny, monkeypatch, tmp_path):
    zoo.build(zoo_dir(), "MiniLM-L6", TASKS)
    assert zoo.like_the_reference(zoo_dir(), "MiniLM-L6") == 0  # whose tasks are others
    ours = json.loads((zoo_dir() / "MiniLM-L6" / "checksums.json").read_text())
    (tmp_path / "checksums.json").write_text(json.dumps(ours | {"any": "0"}))
    monkeypatch.setattr(zoo, "reference_dir", lambda suite, backbone: tmp_path)
    assert zoo.like_the_reference(zoo_dir(), "MiniLM-L6") == 1


def test_without_a_zoo_a_message_says_how_to_build_it(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no complete zoo in .*text.build.*cmmlib\[text\].*make text-zoo.*CMMLIB_CACHE"
    ):
        load_suite("text", folder=tmp_path)


def test_a_test_set_that_changed_is_refused(tiny, monkeypatch, tmp_path):
    monkeypatch.setattr(zoo, "TASKS", TASKS)
    monkeypatch.setattr(zoo, "TEST_SETS", tmp_path / "test_sets.json")
    (tmp_path / "test_sets.json").write_text('{"indoors": "0", "any": "0"}')
    with pytest.raises(ValueError, match=r"test set of task indoors is not the one that test_sets.json records"):
        zoo.build(zoo_dir(), "MiniLM-L6", TASKS)
    assert not (zoo_dir() / "MiniLM-L6").exists()
