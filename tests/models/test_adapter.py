"""LoRA adapters as PEFT saves them: their delta on the base, and refusals of all else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from cmmlib import ContinualMerger

from ..helpers.models import GOLDEN


def _adapter(folder: Path, rank: int = 2, config: dict | None = None, extra: dict[str, Tensor] | None = None) -> Path:
    generator = torch.Generator().manual_seed(rank)
    folder.mkdir()
    base = load_file(GOLDEN / "base.safetensors")
    tensors = dict(extra or {})
    for module in ("encoder.layers.0.self_attn.q_proj", "encoder.layers.1.mlp.fc1"):
        out, inner = base[f"vision_model.{module}.weight"].shape
        name = f"base_model.model.vision_model.{module}"
        tensors[f"{name}.lora_A.weight"] = 0.1 * torch.randn(rank, inner, generator=generator)
        tensors[f"{name}.lora_B.weight"] = 0.1 * torch.randn(out, rank, generator=generator)
    save_file(tensors, folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "lora_alpha": 6, "r": rank, "fan_in_fan_out": False, **(config or {})}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize(
    ("config", "scales"),
    [
        ({}, (3, 3)),
        ({"use_rslora": True}, (6 / 2**0.5, 6 / 2**0.5)),
        ({"alpha_pattern": {"mlp.fc1": 4}}, (3, 2)),
        ({"init_lora_weights": "gaussian"}, (3, 3)),
    ],
)
def test_an_adapter_is_its_delta_applied_to_the_base(config: dict, scales: tuple, tmp_path: Path):
    adapter = _adapter(tmp_path / "lora", config=config)
    parts = load_file(adapter / "adapter_model.safetensors")
    expected = load_file(GOLDEN / "base.safetensors")
    modules = ("encoder.layers.0.self_attn.q_proj", "encoder.layers.1.mlp.fc1")
    for module, scale in zip(modules, scales, strict=True):
        name = f"base_model.model.vision_model.{module}"
        delta = parts[f"{name}.lora_B.weight"] @ parts[f"{name}.lora_A.weight"] * scale
        expected[f"vision_model.{module}.weight"] += delta
    merged = ContinualMerger(GOLDEN / "base.safetensors", "weight_average").add(adapter).merged()
    assert all(torch.allclose(merged[key], expected[key], atol=1e-6) for key in expected)


def test_whole_tensors_of_an_adapter_replace_the_bases(tmp_path: Path):
    bias = "vision_model.encoder.layers.0.mlp.fc1.bias"
    own = load_file(GOLDEN / "task0.safetensors")[bias]
    adapter = _adapter(tmp_path / "lora", extra={f"base_model.model.{bias}": own})
    merged = ContinualMerger(GOLDEN / "base.safetensors", "weight_average").add(adapter).merged()
    assert torch.allclose(merged[bias], own, atol=1e-7)


def test_adapters_of_transposed_weights(tmp_path: Path):
    torch.manual_seed(0)
    gpt = GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=2, n_positions=6, vocab_size=11))
    a, b = torch.randn(2, 8), 0.01 * torch.randn(24, 2)
    name = "transformer.h.0.attn.c_attn"
    (tmp_path / "lora").mkdir()
    tensors = {f"base_model.model.{name}.lora_A.weight": a, f"base_model.model.{name}.lora_B.weight": b}
    save_file(tensors, tmp_path / "lora" / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "lora_alpha": 2, "r": 2, "fan_in_fan_out": True}
    (tmp_path / "lora" / "adapter_config.json").write_text(json.dumps(settings))
    merged = ContinualMerger(gpt, "weight_average").add(tmp_path / "lora").merged()
    assert torch.allclose(merged[f"{name}.weight"], gpt.state_dict()[f"{name}.weight"] + (b @ a).T, atol=1e-6)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": "IA3"}, r"adapter_config\.json: peft_type is 'IA3', only LORA is read"),
        ({"use_dora": True}, "use_dora is set: DoRA scales .*more than plain LoRA"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights = 'pissa' changes the base's own weights"),
        ({"alpha_pattern": {"(a+)+$": 3}}, "a pattern holds the regular expression"),
        ({"lora_alpha": "six"}, "lora_alpha or alpha_pattern holds no number"),
        ({"alpha_pattern": {"mlp.fc3": 3}}, "names 'mlp.fc3', which is none of the adapted modules"),
        ({"rank_pattern": {"q_prj": 3}}, "names 'q_prj', which is none of the adapted modules"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices is set: single rows of an embedding were trained"),
        ({"target_parameters": ["mlp.experts.gate_up_proj"]}, "target_parameters is set: .*stacked experts"),
    ],
)
def test_adapters_that_are_not_plain_lora_of_this_base_are_refused(config: dict, message: str, tmp_path: Path):
    merger = ContinualMerger(GOLDEN / "base.safetensors", "weight_average")
    with pytest.raises(ValueError, match=message):
        merger.add(_adapter(tmp_path / "lora", config=config))
    assert len(merger) == 0


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"base_model.model.vision_model.nosuch.lora_A.weight": torch.ones(2, 3)}, "adapts 'vision_model.nosuch.weight'"),
        ({"base_model.model.vision_model.embeddings.lora_magnitude_vector": torch.ones(2)}, "is no LoRA of a matrix"),
        ({"base_model.model.vision_model.encoder.layers.0.mlp.fc2.weight": torch.zeros(0)}, "is empty .*ZeRO-3"),
        ({"base_model.model.vision_model.embeddings.position_embedding.weight": torch.ones(70, 48)}, "vocabulary res"),
        ({"base_model.model.vision_model.encoder.layers.0.mlp.fc2.lora_A.weight": torch.ones(2, 3)}, "lacks lora_B for"),
    ],
)
def test_adapters_that_do_not_fit_are_refused(extra: dict[str, Tensor], message: str, tmp_path: Path):
    merger = ContinualMerger(GOLDEN / "base.safetensors", "weight_average")
    with pytest.raises(ValueError, match=message):
        merger.add(_adapter(tmp_path / "lora", extra=extra))


def test_an_adapter_is_known_again_and_is_no_base(tmp_path: Path):
    ContinualMerger(GOLDEN / "base.safetensors", "weight_average").save(tmp_path / "state")
    merger = ContinualMerger.load(tmp_path / "state").add(_adapter(tmp_path / "lora"))
    with pytest.raises(ValueError, match="merged before"):
        merger.add(tmp_path / "lora")
    merger.add(_adapter(tmp_path / "other", config={"lora_alpha": 7}))
    with pytest.raises(ValueError, match="is an adapter, which cannot be a base"):
        ContinualMerger(tmp_path / "lora", "weight_average")
