"""A test set of noise, and processors of few pixels."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
from PIL import Image
from transformers import CLIPImageProcessorPil


class Noise:
    """A test set of ``count`` images of noise."""

    name = "noise"

    def __init__(self, count: int = 600, size: int = 12) -> None:
        self.count, self.size = count, size

    def test_set_key(self, task: str) -> str:
        return f"{task} {self.count} {self.size}"

    def test_set(self, task: str) -> datasets.Dataset:
        pixels = np.random.default_rng(0).integers(0, 256, (self.count, self.size, self.size, 3), dtype=np.uint8)
        columns = {"image": [Image.fromarray(image) for image in pixels], "label": [i % 3 for i in range(self.count)]}
        features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
        return datasets.Dataset.from_dict(columns, features=features)


def processor(edge: int = 8, **config: object) -> CLIPImageProcessorPil:
    return CLIPImageProcessorPil(size={"shortest_edge": edge}, crop_size={"height": edge, "width": edge}, **config)


def visible(folder: Path) -> list[str]:
    """What lies in the folder besides locks."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))
