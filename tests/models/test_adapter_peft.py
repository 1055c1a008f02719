"""Adapters that PEFT saves are read as its ``merge_and_unload`` merges them, or refused."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cmmlib import ContinualMerger

from ..helpers.architectures import built, furthest, loaded, saved

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    peft = pytest.importorskip("peft")

PLAIN: dict[str, tuple[str, dict[str, Any]]] = {
    "attention": ("Llama", {"target_modules": ["q_proj", "v_proj"]}),
    "all linear layers, rsLoRA": ("Llama", {"target_modules": "all-linear", "use_rslora": True}),
    "the head": ("Llama", {"target_modules": ["q_proj", "lm_head"]}),
    "embeddings": ("Llama", {"target_modules": ["embed_tokens", "o_proj"]}),
    "whole modules": ("Llama", {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "embed_tokens"]}),
    "biases": ("ViT", {"target_modules": ["q_proj"], "bias": "all"}),
    "patterns": (
        "Llama",
        {
            "target_modules": ["q_proj", "down_proj", "up_proj"],
            "alpha_pattern": {"model.layers.0.self_attn.q_proj": 20},
            "rank_pattern": {"down_proj": 3},
        },
    ),
    "Conv1D": ("GPT-2", {"target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True}),
    "Conv1D, flag of another layer": ("GPT-2", {"target_modules": ["c_proj", "c_fc"], "fan_in_fan_out": False}),
    "other names in memory": ("ViT", {"target_modules": ["q_proj", "fc1"], "modules_to_save": ["classifier"]}),
    "a tower": (
        "SigLIP",
        {"target_modules": ["q_proj"], "alpha_pattern": {"vision_model.encoder.layers.0.self_attn.q_proj": 9}},
    ),
    "beside experts": ("Mixtral", {"target_modules": ["q_proj", "o_proj"]}),
}


def adapted(base: nn.Module, folder: Path, **config: Any) -> nn.Module:
    """Save an adapter of ``base`` with random weights, and give what PEFT merges it to."""
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = peft.get_peft_model(copy.deepcopy(base), peft.LoraConfig(**{"r": 2, "lora_alpha": 5, **config}))
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter += 0.1 * torch.randn(parameter.shape)
        model.save_pretrained(folder)
        return model.merge_and_unload()


@pytest.mark.parametrize("case", PLAIN)
@pytest.mark.parametrize("given", ["folder", "module"])
def test_an_adapter_is_what_peft_merges_it_to(case: str, given: str, tmp_path: Path):
    name, config = PLAIN[case]
    base = built(name)
    expected = adapted(base, tmp_path / "adapter", **config).state_dict()
    start = saved(base, tmp_path / "base") if given == "folder" else base
    merger = ContinualMerger(start, "weight_average").add(tmp_path / "adapter")
    found = loaded(base, merger.export(tmp_path / "out"))
    assert furthest(found, {key: tensor for key, tensor in expected.items() if key in found}) < 1e-6
    assert furthest(found, loaded(base, saved(base, tmp_path / "start"))) > 1e-3


@pytest.mark.parametrize(
    "config",
    [
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
        {"target_modules": ["lm_head"]},
        {"target_modules": ["embed_tokens"]},
    ],
)
@pytest.mark.parametrize("given", ["folder", "module"])
def test_an_adapter_that_unties_weights_is_refused(config: dict[str, Any], given: str, tmp_path: Path):
    base = built("Llama, tied")
    adapted(base, tmp_path / "adapter", **config)
    merger = ContinualMerger(saved(base, tmp_path / "base") if given == "folder" else base, "weight_average")
    with pytest.raises(ValueError, match=r"trains '.*' apart from what .* ties it to .*merge_and_unload"):
        merger.add(tmp_path / "adapter")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"target_modules": ["q_proj"], "trainable_token_indices": [1, 5]}, "trainable_token_indices is set"),
        ({"target_modules": ["q_proj"], "use_dora": True}, "use_dora is set"),
        ({"target_modules": ["q_proj"], "lora_bias": True}, "lora_bias is set"),
    ],
)
def test_more_than_plain_lora_is_refused_by_name(config: dict[str, Any], message: str, tmp_path: Path):
    base = built("Llama") if "lora_bias" not in config else built("ViT")
    adapted(base, tmp_path / "adapter", **config)
    with pytest.raises(ValueError, match=message):
        ContinualMerger(base, "weight_average").add(tmp_path / "adapter")


def test_stacked_experts_are_refused_by_name(tmp_path: Path):
    base = built("Mixtral")
    config = {"target_modules": [], "target_parameters": ["mlp.experts.gate_up_proj"], "lora_dropout": 0.0}
    adapted(base, tmp_path / "adapter", **config)
    with pytest.raises(ValueError, match=r"target_parameters is set: .*stacked experts"):
        ContinualMerger(base, "weight_average").add(tmp_path / "adapter")


def test_a_model_with_adapters_in_it_is_told_from_a_merged_one():
    base = built("Llama")
    with_adapters = peft.get_peft_model(copy.deepcopy(base), peft.LoraConfig(target_modules=["q_proj"]))
    with pytest.raises(ValueError, match=r"PEFT's adapters in it.*merge_and_unload"):
        ContinualMerger(base, "weight_average").add(with_adapters)
