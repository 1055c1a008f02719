"""Heads on disk: read back, replaced when damaged, kept apart by weights and prompts."""

from __future__ import annotations

import json
import shutil

import torch
from safetensors.torch import load_file, save_file

from cmmlib.evaluation import ZeroShotScorer, heads

from .fake_suite import FakeSuite


def test_heads_are_read_back_and_a_damaged_one_is_made_again(suite, scorer, monkeypatch, tmp_path):
    first = scorer.head("signs")
    (file,) = (tmp_path / "cache" / "heads").iterdir()
    made = []
    real_embeddings = heads.class_embeddings
    monkeypatch.setattr(heads, "class_embeddings", lambda *a: made.append(1) or real_embeddings(*a))
    again = lambda: ZeroShotScorer(suite, suite.backbones[0]).head("signs")  # noqa: E731
    assert torch.equal(again(), first) and not made
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    for damaged in (bytes(content), b"", content[:20]):
        file.write_bytes(damaged)
        assert torch.equal(again(), first) and made
        made.clear()
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_head_belongs_to_weights_and_prompts(suite, scorer, base, tmp_path):
    scorer.head("signs"), scorer.head("moods")
    other = tmp_path / "other"
    shutil.copytree(base, other)
    ZeroShotScorer(FakeSuite(other), suite.backbones[0]).head("signs")  # a copy elsewhere is the same base
    assert len(list((tmp_path / "cache" / "heads").iterdir())) == 2
    tensors = load_file(base / "model.safetensors")
    tensors["text_projection.weight"] += 0.01
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    ZeroShotScorer(FakeSuite(other), suite.backbones[0]).head("signs")
    assert len(list((tmp_path / "cache" / "heads").iterdir())) == 3
    config = json.loads((base / "config.json").read_text())
    config["text_config"]["num_attention_heads"] = 4
    (other / "config.json").write_text(json.dumps(config))
    ZeroShotScorer(FakeSuite(other), suite.backbones[0]).head("signs")
    assert len(list((tmp_path / "cache" / "heads").iterdir())) == 4
