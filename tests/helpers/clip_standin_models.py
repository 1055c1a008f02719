"""The models of the CLIP suite's stand-in: tiny random bases and fine-tuned towers."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from cmmlib.suites.clip.backbones import MODELS
from cmmlib.suites.clip.tasks import TASKS

SIZE = 32  # of images after preprocessing
CONTEXT = 77
TOWERS = {  # hidden size, heads, patch size
    "ViT-B/32": (32, 2, 16),
    "ViT-B/16": (32, 2, 8),
    "ViT-L/14": (48, 3, 8),
}
WEIGHTS = {"ViT-B/32": ["bin"], "ViT-B/16": ["bin"], "ViT-L/14": ["bin", "safetensors"]}
NEVER = b"never fetched"


def write_models(folder: Path, backbone: str) -> None:
    """Write a base and its twenty fine-tuned towers, each the base plus a low-rank change of the task."""
    from safetensors.torch import save_file
    from transformers import CLIPConfig, CLIPModel

    hidden, heads, patch = TOWERS[backbone]
    vocabulary, merges = _vocabulary()
    start, end = vocabulary["<|startoftext|>"], vocabulary["<|endoftext|>"]
    shared = {"num_hidden_layers": 2, "num_attention_heads": heads, "hidden_size": hidden, "intermediate_size": 2 * hidden}
    config = CLIPConfig(
        text_config=shared
        | {"vocab_size": len(vocabulary), "max_position_embeddings": CONTEXT, "projection_dim": hidden}
        | {"bos_token_id": start, "eos_token_id": end, "pad_token_id": end},
        vision_config=shared | {"image_size": SIZE, "patch_size": patch, "projection_dim": hidden},
        projection_dim=hidden,
    )
    state = CLIPModel(config).state_dict()
    generator = torch.Generator().manual_seed(patch + hidden)
    for name, tensor in state.items():
        scale = 0.02 if tensor.ndim < 2 else tensor[0].numel() ** -0.5
        noise = scale * torch.randn(tensor.shape, generator=generator)
        state[name] = noise + 1 if "norm" in name and name.endswith("weight") else noise
    state["logit_scale"] = torch.tensor(4.6052)
    state = {name: tensor.contiguous() for name, tensor in state.items()}

    base = folder / "openai" / MODELS[backbone]
    base.mkdir(parents=True)
    said = {**config.to_dict(), "architectures": ["CLIPModel"]}
    if backbone == "ViT-B/16":  # as it was first published: transformers then takes the largest token for the end
        said["text_config"] = {**said["text_config"], "eos_token_id": 2}
    (base / "config.json").write_text(json.dumps(said, indent=1))
    _write_processor(base, vocabulary, merges)
    if "safetensors" in WEIGHTS[backbone]:
        save_file(state, base / "model.safetensors", metadata={"format": "pt"})
    # files of that age also hold the position ids
    positions = {
        "text_model.embeddings.position_ids": torch.arange(CONTEXT)[None],
        "vision_model.embeddings.position_ids": torch.arange((SIZE // patch) ** 2 + 1)[None],
    }
    torch.save({**state, **positions}, base / "pytorch_model.bin")
    for name in ("flax_model.msgpack", "tf_model.h5"):
        (base / name).write_bytes(NEVER)
    (base / "README.md").write_text("A stand-in.\n")

    tower = {name: tensor for name, tensor in state.items() if name.startswith("vision_model.")}
    about = {**config.vision_config.to_dict(), "architectures": ["CLIPVisionModel"], "model_type": "clip_vision_model"}
    for i, task in enumerate(TASKS):
        generator.manual_seed(1000 + i)
        target = folder / "tanganke" / f"{MODELS[backbone]}_{task.name}"
        target.mkdir(parents=True)
        (target / "config.json").write_text(json.dumps(about, indent=1))
        tuned = {name: tensor + _change(tensor, generator) for name, tensor in tower.items()}
        save_file(tuned, target / "model.safetensors", metadata={"format": "pt"})
        (target / "README.md").write_text("A stand-in.\n")
        if i % 7 == 0:  # some were uploaded with the records of their training
            (target / "runs").mkdir()
            (target / "runs" / "events.out.tfevents.0").write_bytes(NEVER)


def _change(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if tensor.ndim != 2:
        return 0.01 * torch.randn(tensor.shape, generator=generator)
    left, right = (torch.randn(size, 2, generator=generator) for size in tensor.shape)
    return 0.1 * tensor.shape[1] ** -0.5 * left @ right.T


def _vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a CLIP tokenizer: all bytes, alone and at a word's end, and common words of the prompts."""
    from collections import Counter

    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    cut = CLIPTokenizer().backend_tokenizer.pre_tokenizer.pre_tokenize_str
    letters = sorted(ByteLevel.alphabet())
    tokens = dict.fromkeys([*letters, *(letter + "</w>" for letter in letters)])
    words = Counter(
        word for task in TASKS for prompt in (*task.templates, *task.class_names) for word, _ in cut(prompt.lower())
    )
    merges: dict[tuple[str, str], None] = {}
    for word, _ in sorted(words.items(), key=lambda item: (-item[1], item[0]))[:200]:
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:  # from the end, so that a word's last token ends it
            left, right = parts[-2:]
            merges[left, right] = None
            tokens[left + right] = None
            parts[-2:] = [left + right]
    names = [*tokens, "<|startoftext|>", "<|endoftext|>"]
    return {name: i for i, name in enumerate(names)}, list(merges)


def _write_processor(folder: Path, vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> None:
    from transformers import CLIPTokenizer

    CLIPTokenizer(vocabulary, merges, model_max_length=CONTEXT).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges))
    processor = {
        "crop_size": SIZE,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "size": SIZE,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=1))
