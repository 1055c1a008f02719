"""Embeddings of images and prompts for training a CLIP, and its zero-shot accuracy."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import normalize
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from ..tasks import MiniTask

MEAN, STD = (torch.tensor(getattr(CLIPImageProcessorPil, f"image_{k}")).view(3, 1, 1) for k in ("mean", "std"))


def pixels(images: np.ndarray) -> torch.Tensor:
    """Images, uint8 [n, 36, 36, 3], rescaled and normalised as by the image processor: float32 [n, 3, 36, 36]."""
    return (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - MEAN) / STD


def image_features(model: CLIPModel, images: np.ndarray) -> torch.Tensor:
    """Normalised image embeddings, [n, projection]."""
    return normalize(model.visual_projection(model.vision_model(pixel_values=pixels(images)).pooler_output), dim=-1)


def text_features(model: CLIPModel, tokens: dict[str, torch.Tensor]) -> torch.Tensor:
    """Normalised text embeddings, [n, projection]."""
    return normalize(model.text_projection(model.text_model(**tokens).pooler_output), dim=-1)


@torch.no_grad()
def zero_shot_head(model: CLIPModel, tokenizer: CLIPTokenizer, task: MiniTask) -> torch.Tensor:
    """Class embeddings [classes, projection]: the mean of the normalised prompt embeddings, normalised again."""
    rows = [
        text_features(model, tokenizer(task.prompts(label), padding=True, return_tensors="pt")).mean(0)
        for label in range(len(task.class_names))
    ]
    return normalize(torch.stack(rows), dim=-1)


@torch.no_grad()
def accuracy(model: CLIPModel, head: torch.Tensor, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of images whose nearest class embedding is that of their label, in per cent."""
    guesses = (image_features(model, images) @ head.T).argmax(1).numpy()
    return float(100 * (guesses == labels).mean())
