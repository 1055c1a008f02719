"""Tiny models of many architectures, as transformers builds them with random weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import torch
import transformers as t
from torch import nn

_VISION = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 8, "patch_size": 4}
_TEXT = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 50,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_DECODER = {**_TEXT, "num_key_value_heads": 2, "max_position_embeddings": 32}
_WHISPER = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in (("layers", 1), ("attention_heads", 2))}


def _clip(kind: str = "CLIP", **text: int) -> t.PreTrainedConfig:
    config = getattr(t, f"{kind}Config")
    vision = {**_VISION, "intermediate_size": 32}
    return config(text_config={**_TEXT, "max_position_embeddings": 12, **text}, vision_config=vision, projection_dim=8)


def _llama(**more: object) -> t.LlamaConfig:
    return t.LlamaConfig(**{**_DECODER, **more})


ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "ViT": lambda: t.ViTForImageClassification(t.ViTConfig(intermediate_size=32, **_VISION)),
    "DINOv2": lambda: t.Dinov2Model(t.Dinov2Config(**_VISION)),
    "DINOv2 SwiGLU": lambda: t.Dinov2Model(t.Dinov2Config(use_swiglu_ffn=True, **_VISION)),
    "Swin": lambda: t.SwinModel(
        t.SwinConfig(image_size=16, patch_size=2, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=2)
    ),
    "SigLIP": lambda: t.SiglipModel(_siglip()),
    "SigLIP vision": lambda: t.SiglipVisionModel(t.SiglipVisionConfig(intermediate_size=32, **_VISION)),
    "CLIP vision": lambda: t.CLIPVisionModel(_clip().vision_config),
    "CLIP vision, projected": lambda: t.CLIPVisionModelWithProjection(_clip().vision_config),
    "CLIP text, projected": lambda: t.CLIPTextModelWithProjection(_clip().text_config),
    "CLIP classifier": lambda: t.CLIPForImageClassification(_clip()),
    "Chinese CLIP": lambda: t.ChineseCLIPModel(_clip("ChineseCLIP")),
    "AltCLIP": lambda: t.AltCLIPModel(_clip("AltCLIP", project_dim=8)),
    "MetaCLIP 2": lambda: t.MetaClip2Model(_clip("MetaClip2")),
    "BERT": lambda: t.BertForMaskedLM(t.BertConfig(**_TEXT)),
    "RoBERTa": lambda: t.RobertaForMaskedLM(t.RobertaConfig(**_TEXT)),
    "T5": lambda: t.T5ForConditionalGeneration(
        t.T5Config(vocab_size=50, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    ),
    "GPT-2": lambda: t.GPT2LMHeadModel(
        t.GPT2Config(vocab_size=50, n_positions=16, n_embd=16, n_layer=1, n_head=2, bos_token_id=1, eos_token_id=2)
    ),
    "Llama": lambda: t.LlamaForCausalLM(_llama()),
    "Llama, tied": lambda: t.LlamaForCausalLM(_llama(tie_word_embeddings=True)),
    "Qwen2-MoE": lambda: t.Qwen2MoeForCausalLM(
        t.Qwen2MoeConfig(**_DECODER, num_experts=3, moe_intermediate_size=8, shared_expert_intermediate_size=8)
    ),
    "Mixtral": lambda: t.MixtralForCausalLM(t.MixtralConfig(**_DECODER, num_local_experts=3)),
    "GPT-OSS": lambda: t.GptOssForCausalLM(t.GptOssConfig(**_DECODER, num_local_experts=3, head_dim=8)),
    "LLaVA": lambda: t.LlavaForConditionalGeneration(
        t.LlavaConfig(text_config=_llama(), vision_config=_clip().vision_config, image_token_index=5)
    ),
    "Whisper": lambda: t.WhisperForConditionalGeneration(_whisper()),
    "ConvNeXt": lambda: t.ConvNextModel(t.ConvNextConfig(hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1])),
    "ResNet": lambda: t.ResNetForImageClassification(
        t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ),
}
"""Name → what builds the model."""


def _siglip() -> t.SiglipConfig:
    vision = {**_VISION, "intermediate_size": 32}
    return t.SiglipConfig(text_config={**_TEXT, "max_position_embeddings": 12}, vision_config=vision)


def _whisper() -> t.WhisperConfig:
    sizes = {"vocab_size": 50, "d_model": 16, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, **_WHISPER}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    return t.WhisperConfig(max_source_positions=10, max_target_positions=10, **sizes, **tokens)


def built(name: str) -> nn.Module:
    """The model, with weights that are the same every time."""
    torch.manual_seed(0)
    return tuned(ARCHITECTURES[name](), 0, noise=0.05).eval()


def tuned(model: nn.Module, seed: int, noise: float = 0.02) -> nn.Module:
    """A copy with noise on every parameter, as fine-tuning would leave it; tied ones stay tied."""
    model, generator = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in {id(p): p for p in model.parameters()}.values():
            parameter += noise * torch.randn(parameter.shape, generator=generator)
    return model


def saved(model: nn.Module, folder: Path, **options: object) -> Path:
    """The folder that ``save_pretrained`` writes."""
    model.save_pretrained(folder, **options)
    return folder


def loaded(like: nn.Module, folder: Path) -> dict[str, torch.Tensor]:
    """What ``from_pretrained`` makes of a folder, which must find every parameter there and nothing else."""
    model, report = type(like).from_pretrained(folder, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    return {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}


def furthest(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    """The largest difference of an entry; the names must be the same."""
    assert ours.keys() == theirs.keys()
    return max(float((ours[name].double() - theirs[name].double()).abs().max()) for name in ours)
