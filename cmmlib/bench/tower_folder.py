"""``python -m cmmlib.bench.tower_folder FOLDER SEED LAYERS [BASE]``: write a random ViT-L/14 tower for transformers.

It runs in its own process, so that the process that measures memory (`cmmlib.bench.memory`) stays small.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPVisionConfig, CLIPVisionModel

from ..models.safetensors_writer import Writer, header_room
from ..models.weights import open_weights

PREFIX = "vision_model."
VIT_L_14: dict[str, Any] = dict(
    hidden_size=1024, intermediate_size=4096, num_attention_heads=16, patch_size=14, image_size=224, projection_dim=768
)


def write_tower(folder: Path, seed: int, layers: int, base: Path | None = None) -> None:
    """Write a random tower, or ``base`` plus Gaussian noise with 2 % of the scale of its weights."""
    config = CLIPVisionConfig(num_hidden_layers=layers, **VIT_L_14)
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
    folder, seed, layers, *base = sys.argv[1:]
    write_tower(Path(folder), int(seed), int(layers), Path(base[0]) if base else None)
