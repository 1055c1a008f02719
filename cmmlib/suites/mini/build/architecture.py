"""The tiny CLIPs: their shapes, a fresh one, and one with another vision tower."""

from __future__ import annotations

import copy

import numpy as np
import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from .fourth import BASE_SEED, FOURTH, SHAPE

SEED = 0  # of everything random in the zoo that ships
NARROW = dict(hidden_size=96, intermediate_size=384, num_hidden_layers=4, num_attention_heads=3, image_size=36)
WIDE = dict(hidden_size=128, intermediate_size=512, num_hidden_layers=6, num_attention_heads=4, image_size=36)
VISION = {  # the shapes of the vision towers: what sets the backbones apart
    "ViT-mini/12": NARROW | dict(patch_size=12),
    "ViT-mini/9": NARROW | dict(patch_size=9),
    "ViT-mini-L/9": WIDE | dict(patch_size=9),
    FOURTH: SHAPE,
}
BASE_SEEDS = {FOURTH: BASE_SEED}  # of the pretrained bases, where it is not `SEED`
TEXT = dict(hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2)
PROJECTION = 64
CONTEXT = 24  # tokens of the longest prompt that the text tower takes


def make_base(backbone: str, tokenizer: CLIPTokenizer) -> CLIPModel:
    """A freshly initialised CLIPModel."""
    special = dict(bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id)
    text = (
        TEXT
        | special
        | dict(vocab_size=len(tokenizer), max_position_embeddings=CONTEXT, pad_token_id=tokenizer.eos_token_id)
    )
    torch.manual_seed(BASE_SEEDS.get(backbone, SEED))
    config = CLIPConfig(
        text_config=text | dict(projection_dim=PROJECTION),
        vision_config=VISION[backbone] | dict(projection_dim=PROJECTION),
        projection_dim=PROJECTION,
    )
    return CLIPModel(config)


def arrays(model: CLIPModel) -> dict[str, np.ndarray]:
    """All tensors of a model by name."""
    return {name: value.detach().contiguous().numpy() for name, value in model.state_dict().items()}


def with_tower(model: CLIPModel, tower: dict[str, np.ndarray]) -> CLIPModel:
    """A copy of a CLIP model with another vision tower."""
    model = copy.deepcopy(model)
    model.load_state_dict(model.state_dict() | {name: torch.from_numpy(value) for name, value in tower.items()})
    return model.eval()
