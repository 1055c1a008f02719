"""A suite with the mini suite's base, and two small test sets of noise."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
from PIL import Image

from cmmlib.suites import Task
from cmmlib.suites.mini.suite import MiniSuite

TASKS = (
    Task("signs", ("stop", "way", "yield"), ("a {}.", "the photo of a {}, which is long.")),
    Task("moods", ("glad", "sad"), ("{}",)),
)
MODES = ("RGB", "L", "RGBA", "P")


class FakeSuite:
    """The mini suite's base on two test sets of noise, of any size and mode."""

    name, tasks, limit, precision = "fake", TASKS, None, "float32"
    backbones = MiniSuite().backbones

    def __init__(self, base: str | Path, images: int = 10) -> None:
        self.folder, self.images = base, images

    def content_hash(self, backbone: str) -> str:
        return "0"

    def base(self, backbone: str) -> str:
        return str(self.folder)

    def test_set_key(self, task: str) -> str:
        return f"fake {task} {self.images}"

    def test_set(self, task: str) -> datasets.Dataset:
        rng = np.random.default_rng(len(task))
        images = []
        for i in range(self.images):
            height, width = rng.integers(1, 80, 2)
            image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
            images.append(image.convert(MODES[i % len(MODES)]))
        classes = next(t for t in TASKS if t.name == task).class_names
        columns = {"image": images, "label": [i % len(classes) for i in range(self.images)]}
        features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(classes))})
        return datasets.Dataset.from_dict(columns, features=features)
