"""Towers in the base's model: which fit, where their tensors lie, and precision."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from cmmlib.evaluation import ZeroShotScorer
from cmmlib.evaluation.towers import placed
from cmmlib.suites import Variant

from .fake_suite import FakeSuite


def test_scoring_leaves_the_base_as_it_was(scorer, towers):
    before = scorer.predict(None, "signs")
    other = scorer.predict(towers["noise 1"], "signs")
    assert not torch.equal(before, other)
    assert torch.equal(scorer.predict(None, "signs"), before)


def test_a_tower_that_does_not_fit_is_named(scorer, towers):
    tower = towers["noise 1"]
    key = "vision_model.post_layernorm.weight"
    without = {k: v for k, v in tower.items() if k != key}
    with pytest.raises(ValueError, match=r"1 missing \['post_layernorm.weight'\], 0 unexpected"):
        scorer.score(without, ["signs"])
    with pytest.raises(ValueError, match=r"0 missing \[\], 1 unexpected \['extra'\]"):
        scorer.score(tower | {"vision_model.extra": torch.zeros(1)}, ["signs"])
    with pytest.raises(ValueError, match=r"post_layernorm.weight has shape \(3,\), in ViT-mini/12 it is \(96,\)"):
        scorer.score(tower | {key: torch.zeros(3)}, ["signs"])


def test_indices_that_a_merged_model_carries_along_change_nothing(scorer, towers):
    with_ids = towers["noise 1"] | {"vision_model.embeddings.position_ids": torch.arange(10)[None]}
    assert torch.equal(scorer.predict(with_ids, "signs"), scorer.predict(towers["noise 1"], "signs"))


def test_a_base_that_lacks_a_weight_is_an_error(suite, base, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(base, broken)
    tensors = load_file(base / "model.safetensors")
    del tensors["text_projection.weight"]
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks weights of a CLIPModel: .*text_projection"):
        ZeroShotScorer(FakeSuite(broken), suite.backbones[0]).score(None, ["signs"])


def test_bfloat16_stays_near_float32(suite, scorer, towers):
    rough = ZeroShotScorer(Variant(suite, precision="bfloat16"), suite.backbones[0], batch_size=4)
    pixels = scorer.inputs("signs")[:4]
    with torch.inference_mode():
        exact, half = (s.embedder.embed(s.embedder.tower(towers["noise 1"]), pixels) for s in (scorer, rough))
    difference = float((exact - half).norm() / exact.norm())
    assert half.dtype == torch.float32 and 1e-5 < difference < 0.05
    assert rough.score(towers["noise 1"], ["signs"])["signs"].images == 10


def test_tensors_are_copied_only_where_they_lie_askew():
    cpu = torch.device("cpu")
    whole = torch.zeros(101)
    assert placed(whole[:100], cpu).data_ptr() == whole.data_ptr()
    assert placed(whole[1:], cpu).data_ptr() % 64 == 0
    assert placed(whole.half(), cpu).dtype == torch.float32
