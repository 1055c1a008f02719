"""A suite of random images, for measuring the speed of scoring."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel
from transformers.utils import logging

from ..suites.mini.suite import MiniSuite
from ..suites.suite import TRAINED, Task, evenly_spaced

TASK = Task("random", ("a", "b"), ("{}",))


class RandomSuite:
    """One test set of random images, and one backbone whose only tower is the base's.

    Args:
        name: of the suite and of its backbone.
        base: folder of the CLIPModel.
        count: number of images.
        height, width: of the images, in pixels.
        kind: format of the image files, "JPEG" or "PNG".
        key: the test set's key, see `cmmlib.suites.suite.Suite.test_set_key`.
        precision: see `cmmlib.suites.suite.Suite.precision`.
    """

    def __init__(
        self,
        name: str,
        base: str | Path,
        count: int,
        height: int,
        width: int,
        kind: str,
        *,
        key: str = "random",
        precision: str = "float32",
    ) -> None:
        self.name, self.backbones, self.tasks = name, (name,), (TASK,)
        self.limit, self.precision = None, precision
        self.folder, self.key = str(base), key
        rng, files = np.random.default_rng(0), []
        for _ in range(count):
            small = Image.fromarray(rng.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8))
            buffer = io.BytesIO()
            small.resize((width, height)).save(buffer, kind)
            files.append({"bytes": buffer.getvalue(), "path": None})
        features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
        columns = {"image": files, "label": [i % 2 for i in range(count)]}
        self.data = datasets.Dataset.from_dict(columns, features=features)

    def task_names(self, n: int | None = None) -> tuple[str, ...]:
        """See `cmmlib.suites.suite.Suite`, for this and all following methods."""
        return (TASK.name,)

    def content_hash(self, backbone: str) -> str:
        return "0"

    def base(self, backbone: str) -> str:
        return self.folder

    def checkpoint(self, backbone: str, task_name: str) -> str:
        return self.folder

    def test_set(self, task_name: str, limit: int | None = None) -> datasets.Dataset:
        return self.data.select(evenly_spaced(len(self.data), limit or len(self.data)))

    def test_set_key(self, task_name: str) -> str:
        return self.key

    def trained(self, backbone: str) -> pd.DataFrame:
        return pd.DataFrame(columns=TRAINED)

    def sources(self, backbone: str, tasks: Sequence[str]) -> list[dict[str, str]]:
        return []


def clip_base(folder: Path) -> Path:
    """Write a random CLIPModel into a new folder: ViT-B/32's vision tower and processor, the mini suite's text tower."""
    shutil.copytree(MiniSuite().base(MiniSuite().backbones[0]), folder)
    config = json.loads((folder / "config.json").read_text()) | {"vision_config": {}, "projection_dim": 512}
    config["text_config"]["projection_dim"] = 512
    logging.disable_progress_bar()
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(**config)).save_pretrained(folder)
    CLIPImageProcessorPil().save_pretrained(folder)
    return folder
