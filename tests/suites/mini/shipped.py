"""What the zoo that ships says of itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from cmmlib.suites.mini.packing import vision_tensors
from cmmlib.suites.mini.shipped import ZOO
from cmmlib.suites.mini.suite import MiniSuite
from cmmlib.suites.zoos.folders import folder_of

BACKBONE = "ViT-mini/12"
SHIPPED = MiniSuite().backbones
ACCURACIES = {name: json.loads((folder_of(ZOO, name) / "accuracies.json").read_text()) for name in SHIPPED}
SHAPES = {  # tokens, width, layers
    "ViT-mini/12": (10, 96, 4),
    "ViT-mini/9": (17, 96, 4),
    "ViT-mini-L/9": (17, 128, 6),
}


def stored(backbone: str) -> tuple[Path, dict[str, np.ndarray]]:
    """The zoo folder of a backbone, and the vision tower of its base."""
    from safetensors.numpy import load_file

    folder = folder_of(ZOO, backbone)
    return folder, vision_tensors(load_file(folder / "base" / "model.safetensors"))
