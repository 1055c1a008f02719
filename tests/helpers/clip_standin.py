"""A stand-in for every repository of the CLIP suite on the hub, with the real names, layouts, formats and numbers of rows.

Models are tiny and random, and data sets are small noise of one colour per class.  They test finding, reading and counting;
accuracies mean nothing.  ``write(folder)`` makes <folder>/models/<owner>/<name>/… and <folder>/datasets/…, to be served by
`hub.Hub.serve_folder` or given as models_dir and data_dir.  What the repositories look like was compared with public pages
in November 2026; a few splits that are never read, and the numbers of their files, are guesses.
"""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from cmmlib.suites.clip.backbones import MODELS
from cmmlib.suites.clip.tasks import TASKS, ClipTask

from .clip_standin_models import NEVER, write_models


def write(folder: Path) -> Path:
    """Write all models and data sets."""
    for backbone in MODELS:
        write_models(folder / "models", backbone)
    for task in TASKS:
        write_data(folder / "datasets" / task.dataset, task)
    return folder


@dataclass(frozen=True)
class Layout:
    """How a data set differs from the most common layout: data/<split>-*.parquet, named labels, colour images."""

    folder: str = "data"
    mode: str = "RGB"
    format: str = "PNG"
    named: bool = True  # whether the labels are a ClassLabel
    card: bool = True  # whether README.md says where the splits are; the Parquet files declare their features anyway
    splits: tuple[str, ...] = ("train",)  # besides the one that is scored
    more: dict[str, str] = field(default_factory=dict)  # further columns: name → type
    shards: int = 1
    group: int = 1000  # rows in a row group


CORRUPTIONS = ("contrast", "gaussian_noise", "impulse_noise", "jpeg_compression", "motion_blur", "pixelate", "spatter")

LAYOUTS = {
    "sun397": Layout(format="JPEG", shards=18, group=100),
    "stanford-cars": Layout(format="JPEG", splits=("train", *CORRUPTIONS), group=100),
    "resisc45": Layout(format="JPEG", splits=("train", *CORRUPTIONS)),
    "eurosat": Layout(format="JPEG", splits=("train", "contrast")),
    "svhn": Layout(folder="cropped_digits", splits=("train", "extra")),
    "gtsrb": Layout(splits=("train", *CORRUPTIONS)),
    "mnist": Layout(folder="mnist", mode="L", group=10000),
    "dtd": Layout(format="JPEG", group=100),
    "oxford_flowers102": Layout(format="JPEG", splits=("train", "validation")),
    "pcam": Layout(splits=("train", "valid")),
    "oxford-iiit-pet": Layout(format="JPEG", more={"image_id": "string", "label_cat_dog": "class"}, group=100),
    "food101": Layout(format="JPEG", shards=3),
    "fashion_mnist": Layout(folder="fashion_mnist", mode="L"),
    "emnist_letters": Layout(folder="emnist-letters", mode="L"),
    "kmnist": Layout(folder="kmnist", mode="L", card=False),
    "rendered-sst2": Layout(mode="P", splits=("train", "validation")),
}


def label_of(task: ClipTask, i: int) -> int:
    """The label of the i-th image of a test split, which is sorted by class."""
    return i * len(task.class_names) // task.images


@lru_cache(10_000)
def _image(name: str, label: int, kind: int) -> bytes:
    layout = LAYOUTS.get(name, Layout())
    random = np.random.default_rng([kind, label])
    height, width = (28, 28) if layout.mode == "L" else (int(random.integers(12, 30)), int(random.integers(12, 30)))
    colour = np.random.default_rng(label).integers(40, 216, 3)
    pixels = np.clip(colour + random.normal(0, 20, (height, width, 3)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    # a few PNGs have another mode, as in real data sets
    mode = "RGBA" if layout.format == "PNG" and layout.mode == "RGB" and kind == 4 else layout.mode
    if name == "fer2013":
        Image.fromarray(pixels).convert("L").save(buffer, "JPEG")
    else:
        Image.fromarray(pixels).convert(mode).save(buffer, layout.format)
    return buffer.getvalue()


def image_of(task: ClipTask, i: int, label: int | None = None) -> bytes:
    """The file of the i-th image of a test split, with the data set's mode and file format; each class has five."""
    return _image(task.name, label_of(task, i) if label is None else label, i % 5)


def declared(task: ClipTask) -> list[str]:
    """The task's class names as the data set spells them."""
    spelt = {name: alias for alias, name in task.aliases.items() if task.name != "kmnist"}  # which has kana
    return [spelt.get(name, name) for name in task.class_names]


def write_data(folder: Path, task: ClipTask) -> None:
    """Write one data set: the split that is scored, and others that must never be fetched."""
    rows = [(image_of(task, i), label_of(task, i)) for i in range(task.images)]
    folder.mkdir(parents=True)
    (folder / ".gitattributes").write_text("*.parquet filter=lfs\n")
    if task.name == "fer2013":
        return _write_webdataset(folder, task, rows)
    layout = LAYOUTS.get(task.name, Layout())
    write_parquet(folder / layout.folder, task, rows)
    for split in layout.splits:
        (folder / layout.folder / f"{split}-00000-of-00001.parquet").write_bytes(NEVER)
    if layout.card:
        (folder / "README.md").write_text(card(task))
    return None


def write_parquet(folder: Path, task: ClipTask, rows: list[tuple[bytes, int]], shards: int | None = None) -> None:
    """Write <folder>/<split>-*.parquet with the data set's columns, as ``push_to_hub`` does."""
    import datasets
    import pyarrow as pa
    from pyarrow import parquet

    layout = LAYOUTS.get(task.name, Layout())
    label = datasets.ClassLabel(names=declared(task)) if layout.named else datasets.Value("int64")
    if task.name == "pcam":
        label = datasets.Value("bool")
    features = {task.image: datasets.Image(), task.label: label}
    columns = {
        task.image: [{"bytes": data, "path": None} for data, _ in rows],
        task.label: [bool(y) if task.name == "pcam" else y for _, y in rows],
    }
    for name, kind in layout.more.items():
        features[name] = datasets.ClassLabel(names=["cat", "dog"]) if kind == "class" else datasets.Value(kind)
        columns[name] = [f"image_{i}" if kind == "string" else i % 2 for i in range(len(rows))]
    folder.mkdir(parents=True, exist_ok=True)
    schema = datasets.Features(features).arrow_schema  # with the names of the classes, as `datasets` writes it
    whole = pa.Table.from_pydict(columns, schema=schema)
    shards = shards or layout.shards
    bounds = [i * len(rows) // shards for i in range(shards + 1)]
    for i, (start, stop) in enumerate(pairwise(bounds)):
        path = folder / f"{task.split}-{i:05}-of-{shards:05}.parquet"
        parquet.write_table(whole.slice(start, stop - start), path, row_group_size=layout.group)


def card(task: ClipTask) -> str:
    """A data set's README.md, with the YAML that the hub's tools put at its head."""
    layout = LAYOUTS.get(task.name, Layout())
    lines = ["---", "dataset_info:"]
    config = layout.folder if layout.folder != "data" else "default"
    if config != "default":
        lines += [f"  config_name: {config}"]
    lines += ["  features:", f"  - name: {task.image}", "    dtype: image", f"  - name: {task.label}"]
    if task.name == "pcam":
        lines += ["    dtype: bool"]
    elif layout.named:
        names = (f"          '{i}': {json.dumps(name)}" for i, name in enumerate(declared(task)))
        lines += ["    dtype:", "      class_label:", "        names:", *names]
    else:
        lines += ["    dtype: int64"]
    for name, kind in layout.more.items():
        two = ["    dtype:", "      class_label:", "        names:", "          '0': cat", "          '1': dog"]
        lines += [f"  - name: {name}", *(two if kind == "class" else [f"    dtype: {kind}"])]
    lines += ["configs:", f"- config_name: {config}", "  data_files:"]
    for split in (*layout.splits, task.split):
        lines += [f"  - split: {split}", f"    path: {layout.folder}/{split}-*"]
    if task.name == "svhn":  # the other configuration comes first
        other = ["- config_name: full_numbers", "  data_files:", "  - split: test", "    path: full_numbers/test-*"]
        lines[lines.index("configs:") + 1 : lines.index("configs:") + 1] = other
    return "\n".join([*lines, "---", "", f"# A stand-in for {task.dataset}", ""])


def _write_webdataset(folder: Path, task: ClipTask, rows: list[tuple[bytes, int]], shards: int = 4) -> None:
    for split, count in (("train", 15), ("test", shards)):
        (folder / split).mkdir()
        (folder / split / "nshards.txt").write_text(f"{count}\n")
    (folder / "train" / "0.tar").write_bytes(NEVER)
    for shard in range(shards):
        start, stop = (i * len(rows) // shards for i in (shard, shard + 1))
        with tarfile.open(folder / "test" / f"{shard}.tar", "w") as tar:
            for i, (data, label) in enumerate(rows[start:stop]):
                for suffix, content in ((task.label, str(label).encode()), (task.image, data)):
                    member = tarfile.TarInfo(f"s{i:07}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    (folder / "classnames.txt").write_text("\n".join(declared(task)))
    (folder / "zero-shot_prompt_templates.txt").write_text("\n".join(task.templates))
