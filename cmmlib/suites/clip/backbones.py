"""The three sizes of CLIP, and the hub ids of their bases and fine-tuned towers."""

from __future__ import annotations

from ..suite import require_known

MODELS = {
    "ViT-B/32": "clip-vit-base-patch32",
    "ViT-B/16": "clip-vit-base-patch16",
    "ViT-L/14": "clip-vit-large-patch14",
}

PIXELS = 3 * 224 * 224
"""Bytes of a preprocessed image: all three sizes take 224 × 224 pixels of three colours."""


def base_id(backbone: str) -> str:
    """Hub id of the pretrained model; ValueError for an unknown backbone."""
    require_known("clip", "backbone", backbone, tuple(MODELS))
    return f"openai/{MODELS[backbone]}"


def tower_id(backbone: str, task_name: str) -> str:
    """Hub id of the vision tower fine-tuned on a task; ValueError for an unknown backbone."""
    require_known("clip", "backbone", backbone, tuple(MODELS))
    return f"tanganke/{MODELS[backbone]}_{task_name}"
