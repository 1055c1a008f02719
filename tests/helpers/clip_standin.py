"""A tiny stand-in for every repository of the CLIP suite on the hub, with the real names, layouts and file formats.

Models are random, and data sets are noise of one colour per class.  They test finding, reading and counting; accuracies mean
nothing.  ``write(folder)`` makes <folder>/models/<owner>/<name>/… and <folder>/datasets/…, to be served by
`hub.Hub.serve_folder` or given as models_dir and data_dir.
"""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from cmmlib.suites.clip.backbones import MODELS
from cmmlib.suites.clip.tasks import TASKS, ClipTask

from .clip_standin_models import NEVER, write_models


def write(folder: Path, images: int = 24) -> Path:
    """Write all models and data sets, with at most ``images`` images per test split."""
    for backbone in MODELS:
        write_models(folder / "models", backbone)
    for task in TASKS:
        write_data(folder / "datasets" / task.dataset, task, images)
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


LAYOUTS = {
    "sun397": Layout(format="JPEG"),
    "stanford-cars": Layout(format="JPEG", splits=("train", "contrast", "gaussian_noise")),
    "resisc45": Layout(format="JPEG", splits=("train", "contrast")),
    "eurosat": Layout(format="JPEG", splits=("train", "contrast")),
    "svhn": Layout(folder="cropped_digits", splits=("train", "extra")),
    "gtsrb": Layout(named=False),
    "mnist": Layout(folder="mnist", mode="L"),
    "dtd": Layout(format="JPEG"),
    "oxford_flowers102": Layout(format="JPEG", splits=("train", "validation")),
    "pcam": Layout(splits=("train", "valid")),
    "oxford-iiit-pet": Layout(format="JPEG", more={"image_id": "string", "label_cat_dog": "class"}),
    "stl10": Layout(card=False),
    "cifar100": Layout(more={"coarse_label": "int64"}),
    "food101": Layout(format="JPEG"),
    "fashion_mnist": Layout(folder="fashion_mnist", mode="L"),
    "emnist_letters": Layout(mode="L"),
    "kmnist": Layout(mode="L"),
    "rendered-sst2": Layout(mode="P", splits=("train", "validation")),
}


def labels_of(task: ClipTask, images: int = 24) -> list[int]:
    """Sorted labels of a stand-in test split: two images per class if they fit, else one each of evenly spaced classes."""
    n = len(task.class_names)
    if 2 * n <= images:
        return [label for label in range(n) for _ in range(2)]
    return [i * n // images for i in range(images)]


def image_of(task: ClipTask, i: int, label: int) -> bytes:
    """The file of the i-th image of a stand-in test split, with the data set's mode and file format."""
    layout = LAYOUTS.get(task.name, Layout())
    random = np.random.default_rng([i, label, len(task.class_names)])
    height, width = (28, 28) if layout.mode == "L" else (int(random.integers(20, 60)), int(random.integers(20, 60)))
    colour = np.random.default_rng(label).integers(40, 216, 3)
    pixels = np.clip(colour + random.normal(0, 20, (height, width, 3)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    # a few PNGs have another mode, as in real data sets
    mode = "RGBA" if layout.format == "PNG" and layout.mode == "RGB" and i % 5 == 4 else layout.mode
    if task.name == "fer2013":
        Image.fromarray(pixels).convert("L").save(buffer, "JPEG")
    else:
        Image.fromarray(pixels).convert(mode).save(buffer, layout.format)
    return buffer.getvalue()


def declared(task: ClipTask) -> list[str]:
    """The task's class names as the data set spells them."""
    spelt = {name: alias for alias, name in task.aliases.items()}
    return [spelt.get(name, name) for name in task.class_names]


def write_data(folder: Path, task: ClipTask, images: int = 24) -> None:
    """Write one data set: the split that is scored, and others that must never be fetched."""
    labels = labels_of(task, images)
    rows = [(image_of(task, i, label), label) for i, label in enumerate(labels)]
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
    from pyarrow import parquet

    layout = LAYOUTS.get(task.name, Layout())
    label = datasets.ClassLabel(names=declared(task)) if layout.named else datasets.Value("int64")
    if task.name == "pcam":
        label = datasets.Value("bool")
    features = {task.image: datasets.Image(), task.label: label}
    columns = {
        task.image: [{"bytes": data, "path": f"{i}.png"} for i, (data, _) in enumerate(rows)],
        task.label: [bool(y) if task.name == "pcam" else y for _, y in rows],
    }
    for name, kind in layout.more.items():
        features[name] = datasets.ClassLabel(names=["cat", "dog"]) if kind == "class" else datasets.Value(kind)
        columns[name] = [f"image_{i}" if kind == "string" else i % 2 for i in range(len(rows))]
    folder.mkdir(parents=True, exist_ok=True)
    whole = datasets.Dataset.from_dict(columns, features=datasets.Features(features)).data.table
    shards = shards or (3 if task.name == "sun397" else 1)
    bounds = [i * len(rows) // shards for i in range(shards + 1)]
    for i, (start, stop) in enumerate(pairwise(bounds)):
        path = folder / f"{task.split}-{i:05}-of-{shards:05}.parquet"
        parquet.write_table(whole.slice(start, stop - start), path, row_group_size=10)


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


def _write_webdataset(folder: Path, task: ClipTask, rows: list[tuple[bytes, int]]) -> None:
    for split in ("train", "test"):
        (folder / split).mkdir()
        (folder / split / "nshards.txt").write_text("1\n")
    (folder / "train" / "0.tar").write_bytes(NEVER)
    with tarfile.open(folder / "test" / "0.tar", "w") as tar:
        for i, (data, label) in enumerate(rows):
            for suffix, content in ((task.label, str(label).encode()), (task.image, data)):
                member = tarfile.TarInfo(f"s{i:07}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    (folder / "classnames.txt").write_text("\n".join(task.class_names))
    (folder / "zero-shot_prompt_templates.txt").write_text("\n".join(task.templates))
