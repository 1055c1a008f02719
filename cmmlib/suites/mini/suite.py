"""The mini suite: three tiny CLIPs, twenty rendered or handwritten tasks and their fine-tuned towers, all offline.

A benchmark of its own with the published protocol in small; its numbers are not those of any paper.
Models and test sets are made on first use under `cache_dir() / "mini-<content hash>"`.
"""

from __future__ import annotations

import filecmp
import io
import json
import shutil
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...paths import cache_dir
from ..suite import TRAINED, first_names
from . import render, store
from .render import ZOO
from .tasks import TASKS, MiniTask

if TYPE_CHECKING:  # datasets takes seconds to import
    from datasets import Dataset
    from pandas import DataFrame

# stand-ins for ViT-B/32, ViT-B/16 (smaller patches) and ViT-L/14 (wider and deeper too)
BACKBONES = ("ViT-mini/12", "ViT-mini/9", "ViT-mini-L/9")
NOT_SCORED = ("accuracies.json", "trained.csv", "SOURCES.md")  # zoo files that no score of a merged model depends on


class MiniSuite:
    """See `cmmlib.suites.Suite` for the interface.

    folder: the zoo, by default the one that ships; its backbones are those that are complete there.
    """

    name = "mini"
    tasks: tuple[MiniTask, ...] = TASKS
    limit = None
    precision = "float32"

    def __init__(self, folder: str | Path = ZOO) -> None:
        self.folder = folder = Path(folder)
        folders = {name: store.folder_of(folder, name) for name in BACKBONES}
        self.backbones = tuple(name for name in BACKBONES if (folders[name] / "checksums.json").exists())
        if not self.backbones:
            raise FileNotFoundError(
                f"no complete zoo in {folder}; rebuild it: python -m cmmlib.suites.mini.build --out {folder}"
            )
        towers = {name: json.loads((folders[name] / "checksums.json").read_text()) for name in self.backbones}
        self.checksums = {"towers": towers, "test_sets": json.loads((folder / "test_sets.json").read_text())}

    def __reduce__(self) -> tuple:
        """Sent to another machine, the zoo that ships is the one that ships there."""
        return type(self), (() if self.folder == ZOO else (self.folder,))

    def task_names(self, n: int | None = None) -> tuple[str, ...]:
        """The first `n` task names in suite order, all for None."""
        return first_names(self.tasks, n)

    @cached_property
    def content_hash(self) -> str:
        """Hash of models, test sets, class names and prompts."""
        digest = sha256(repr(self.tasks).encode())
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and path.name not in NOT_SCORED and not path.name.startswith("."):
                digest.update(path.relative_to(self.folder).as_posix().encode() + path.read_bytes())
        return digest.hexdigest()

    @property
    def root(self) -> Path:
        """Where models and test sets are kept once made."""
        return cache_dir() / f"mini-{self.content_hash[:12]}"

    def base(self, backbone: str) -> str:
        """Folder of the pretrained CLIPModel with its tokenizer and image processor."""
        _check("backbone", backbone, self.backbones)
        sources = (store.folder_of(self.folder, backbone) / "base", self.folder / "tokenizer")
        files = {path.name: path for source in sources for path in source.iterdir()}

        def intact(folder: Path) -> bool:
            return all(filecmp.cmp(path, folder / name, shallow=False) for name, path in files.items())

        def write(folder: Path) -> None:
            for path in files.values():
                shutil.copy(path, folder)

        target = store.folder_of(self.root / "models", backbone) / "base"
        store.ensure_folder(target, write, intact)
        return str(target)

    def checkpoint(self, backbone: str, task_name: str) -> str:
        """Folder of the vision tower fine-tuned on a task (a CLIPVisionModel, keys with `vision_model.`)."""
        from safetensors.numpy import load_file, save_file

        _check("backbone", backbone, self.backbones)
        _check("task", task_name, self.task_names())
        zoo = store.folder_of(self.folder, backbone)
        config = json.dumps(vision_config(zoo / "base"), indent=2)

        def write(folder: Path) -> None:
            base = store.vision_tensors(load_file(zoo / "base" / "model.safetensors"))
            tower = store.unpack(base, load_file(zoo / "deltas" / f"{task_name}.safetensors"))
            save_file(tower, folder / "model.safetensors", metadata={"format": "pt"})
            (folder / "config.json").write_text(config)

        def measure(folder: Path) -> str:
            if (folder / "config.json").read_text() != config:
                return "another configuration"
            return store.tensors_hash(load_file(folder / "model.safetensors"))

        target = store.folder_of(self.root / "models", backbone) / task_name
        committed = self.checksums["towers"][backbone][task_name]
        self._ensure(target, write, measure, committed, f"{backbone} tower of task {task_name}")
        return str(target)

    def test_set(self, task_name: str) -> Dataset:
        """150 images of a task: columns image (PIL, 36 x 36 RGB) and label (ClassLabel)."""
        import datasets
        from pyarrow import parquet

        _check("task", task_name, self.task_names())
        task = next(task for task in self.tasks if task.name == task_name)
        file = "data/test-00000-of-00001.parquet"

        def write(folder: Path) -> None:
            images, labels = render.draw_test(task_name)
            features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(task.class_names))}
            columns = {"image": [{"bytes": encode(image), "path": None} for image in images], "label": labels}
            data = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
            (folder / file).parent.mkdir()
            parquet.write_table(data.data.table, folder / file)  # with the features in its metadata

        def measure(folder: Path) -> str:
            table = parquet.read_table(folder / file)
            images = [decode(row["bytes"]) for row in table["image"].to_pylist()]
            return store.pixels_hash(images, table["label"].to_pylist())

        target = self.root / "data" / task_name
        self._ensure(target, write, measure, self.checksums["test_sets"][task_name], f"test set of task {task_name}")
        return datasets.Dataset(datasets.table.InMemoryTable(parquet.read_table(target / file)), split="test")

    def test_set_key(self, task_name: str) -> str:
        """The committed checksum of a test set."""
        _check("task", task_name, self.task_names())
        return f"mini {task_name} {self.checksums['test_sets'][task_name]}"

    def trained(self, backbone: str) -> DataFrame:
        """What `cmmlib.experiments.trained` has measured and this zoo ships; see `cmmlib.suites.Suite.trained`."""
        import pandas as pd

        _check("backbone", backbone, self.backbones)
        path = store.folder_of(self.folder, backbone) / "trained.csv"
        return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=TRAINED)

    def sources(self, backbone: str, tasks: Sequence[str]) -> list[dict[str, str]]:
        """The zoo: one row."""
        place = "in cmmlib" if self.folder == ZOO else str(self.folder)
        return [{"kind": "suite", "id": "mini", "place": place, "revision": self.content_hash}]

    def _ensure(
        self,
        target: Path,
        write: Callable[[Path], None],
        measure: Callable[[Path], str],
        committed: str,
        what: str,
    ) -> None:
        """Have `target` hold what `write` wrote; warn where that is not what the committed checksum says."""

        def write_with_hash(folder: Path) -> None:
            write(folder)
            (folder / "sha256").write_text(measure(folder))

        def intact(folder: Path) -> bool:  # what deviates on this machine is not made anew each time
            return measure(folder) == (folder / "sha256").read_text()

        store.ensure_folder(target, write_with_hash, intact)
        if (target / "sha256").read_text() != committed:
            warnings.warn(
                f"the {what} differs from its committed checksum: its numbers may deviate from the published "
                f"ones. Is {self.folder} intact, is numpy much older or newer? Then delete {target}.",
                stacklevel=3,
            )


def vision_config(base: Path) -> dict:
    """The config.json of a vision tower alone, from the folder of the whole model."""
    config = json.loads((base / "config.json").read_text())
    keep = {key: config[key] for key in ("dtype", "transformers_version") if key in config}
    return {"architectures": ["CLIPVisionModel"], **config["vision_config"], **keep}


def encode(image: np.ndarray) -> bytes:
    """uint8 [h, w, 3] as PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def decode(png: bytes) -> np.ndarray:
    """PNG as uint8 [h, w, 3]."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(png)))


def _check(what: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"unknown {what} {value!r} in suite mini; choices: {', '.join(choices)}")
