"""``python -m cmmlib.bench.tower_folder FOLDER BACKBONE LAYERS SEED [BASE]``: write a random tower for transformers.

It runs in its own process, so that the process that measures memory (`cmmlib.bench.files`) stays small.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPVisionConfig, CLIPVisionModel

from ..models.safetensors_writer import Writer, header_room
from ..models.weights import open_weights
from .random_towers import BACKBONES

PREFIX = "vision_model."


def config_of(backbone: str, layers: int) -> CLIPVisionConfig:
    """The configuration of a CLIP vision tower of ``layers`` transformer layers."""
    width, _, patch = BACKBONES[backbone]
    about: dict[str, Any] = dict(hidden_size=width, intermediate_size=4 * width, num_attention_heads=width // 64)
    return CLIPVisionConfig(num_hidden_layers=layers, patch_size=patch, image_size=224, projection_dim=512, **about)


def write_tower(folder: Path, backbone: str, layers: int, seed: int, base: Path | None = None) -> None:
    """Write a random tower, or ``base`` plus Gaussian noise with 2 % of the scale of its weights."""
    config = config_of(backbone, layers)
    with torch.device("meta"):
        state = CLIPVisionModel(config).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items() if "position_ids" not in name}
    folder.mkdir(parents=True, exist_ok=True)
    config.to_json_file(folder / "config.json")
    generator, source = torch.Generator().manual_seed(seed), open_weights(base) if base else None
    with Writer(folder / "model.safetensors", room=header_room(list(shapes)), metadata={"format": "pt"}) as writer:
        for name, shape in shapes.items():
            noise = torch.randn(shape, generator=generator)
            tensor = source.read(name.removeprefix(PREFIX)) + 4e-4 * noise if source else 0.02 * noise
            writer.put(PREFIX + name.removeprefix(PREFIX), tensor)


if __name__ == "__main__":
    folder, backbone, layers, seed, *base = sys.argv[1:]
    write_tower(Path(folder), backbone, int(layers), int(seed), Path(base[0]) if base else None)
