"""Test sets as Parquet files: rendered once, read as a `datasets.Dataset`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..zoos.checksums import pixels_hash
from .render import draw_test
from .tasks import MiniTask

if TYPE_CHECKING:  # datasets takes seconds to import
    from datasets import Dataset

FILE = "data/test-00000-of-00001.parquet"


def write_rendered(task: MiniTask, folder: Path) -> None:
    """Render a task's test set into an empty folder: columns image (PNG) and label, features in the file's metadata."""
    import datasets
    from pyarrow import parquet

    images, labels = draw_test(task.name)
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(task.class_names))}
    columns = {"image": [{"bytes": encode(image), "path": None} for image in images], "label": labels}
    data = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    (folder / FILE).parent.mkdir()
    parquet.write_table(data.data.table, folder / FILE)


def rendered_hash(folder: Path) -> str:
    """Checksum of a folder's pixels and labels (`cmmlib.suites.zoos.checksums.pixels_hash`)."""
    from pyarrow import parquet

    table = parquet.read_table(folder / FILE)
    images = [decode(row["bytes"]) for row in table["image"].to_pylist()]
    return pixels_hash(images, table["label"].to_pylist())


def read_rendered(folder: Path) -> Dataset:
    """The test set in a folder: columns image (PIL) and label (ClassLabel)."""
    import datasets
    from pyarrow import parquet

    return datasets.Dataset(datasets.table.InMemoryTable(parquet.read_table(folder / FILE)), split="test")


def encode(image: np.ndarray) -> bytes:
    """An image, uint8 [h, w, 3], as the bytes of a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def decode(png: bytes) -> np.ndarray:
    """The image in the bytes of a PNG file, uint8 [h, w, 3]."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(png)))
