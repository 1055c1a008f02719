"""The text suite: a sentence encoder that somebody else pretrained, ten tasks of text that people wrote, and its zoo.

It follows the published protocol with another modality.  The zoo is not shipped: ``make text-zoo`` builds it in the cache.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...paths import cache_dir
from ..suite import TRAINED, evenly_spaced, first_names, require_known
from ..zoos.folders import folder_of
from .base import HASHES, HUB_ID
from .splits import Examples, examples_hash
from .tasks import TASKS, TextTask

if TYPE_CHECKING:  # datasets takes seconds to import
    from datasets import Dataset
    from pandas import DataFrame

BACKBONES = ("MiniLM-L6", "MiniLM-L6-LoRA")  # fine-tuned whole; adapters, folded into the weights


def zoo_dir() -> Path:
    """The folder of the zoo that ``make text-zoo`` builds."""
    return cache_dir() / "text-zoo"


class TextSuite:
    """A sentence encoder and its fine-tuned models.  See `cmmlib.suites.suite.Suite` for the interface.

    Args:
        folder: the zoo, by default that in the cache.  The suite has the backbones that are complete in it.

    Raises:
        FileNotFoundError: no backbone is complete.
    """

    name = "text"
    tasks: tuple[TextTask, ...] = TASKS
    limit = None
    precision = "float32"

    def __init__(self, folder: str | Path | None = None) -> None:
        self._given, self.folder = folder, Path(folder or zoo_dir())
        complete = {name: folder_of(self.folder, name) / "checksums.json" for name in BACKBONES}
        self.backbones = tuple(name for name, path in complete.items() if path.exists())
        if not self.backbones:
            raise FileNotFoundError(
                f"no complete zoo in {self.folder}: python -m cmmlib.suites.text.build --out {self.folder} builds one "
                "(pip install 'cmmlib[text]' first).  make text-zoo does so in the clone's .cache, which cmm reads "
                "with CMMLIB_CACHE=.cache"
            )
        self.checksums: dict[str, Any] = {name: json.loads(complete[name].read_text()) for name in self.backbones}
        self.test_sets: dict[str, str] = json.loads((self.folder / "test_sets.json").read_text())

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        """With the folder only if one was given, so that another machine uses its own cache."""
        return type(self), (self._given,)

    @property
    def not_built(self) -> str:
        """Which backbones are not complete, and how to build them; empty if all are."""
        missing = [name for name in BACKBONES if name not in self.backbones]
        place = f" --out {self._given}" if self._given else ""
        how = "".join(f" --backbone {name}" for name in missing)
        return f"not built: {', '.join(missing)} (python -m cmmlib.suites.text.build{how}{place})" if missing else ""

    def task_names(self, n: int | None = None) -> tuple[str, ...]:
        """The first `n` task names in suite order, or all if `n` is None."""
        return first_names(self.tasks, n)

    def content_hash(self, backbone: str) -> str:
        """Hash of a backbone's models, of test sets, class names and prompts."""
        require_known(self.name, "backbone", backbone, self.backbones)
        content = [repr(self.tasks), self._base_hash, self.checksums[backbone], self.test_sets]
        return sha256(json.dumps(content).encode()).hexdigest()

    @cached_property
    def _base_hash(self) -> str:
        return sha256((self.folder / "base" / "model.safetensors").read_bytes()).hexdigest()

    def base(self, backbone: str) -> str:
        """Folder of the pretrained encoder with its tokenizer."""
        require_known(self.name, "backbone", backbone, self.backbones)
        return str(self.folder / "base")

    def checkpoint(self, backbone: str, task_name: str) -> str:
        """Folder of the encoder fine-tuned on a task."""
        require_known(self.name, "backbone", backbone, self.backbones)
        require_known(self.name, "task", task_name, self.task_names())
        return str(folder_of(self.folder, backbone) / task_name)

    def test_set(self, task_name: str, limit: int | None = None) -> Dataset:
        """300 texts of a task, or ``limit`` of them: columns text and label (ClassLabel).

        Raises:
            ValueError: the file holds others than the zoo was built with.
        """
        import datasets

        require_known(self.name, "task", task_name, self.task_names())
        task = next(task for task in self.tasks if task.name == task_name)
        path = self.folder / "texts" / f"{task_name}.json"
        examples = json.loads(path.read_text("utf-8"))["test"]
        if examples_hash(Examples(**examples)) != self.test_sets[task_name]:
            raise ValueError(
                f"{path}: not the test set that the models of {self.folder} were measured on; build the zoo again "
                f"(python -m cmmlib.suites.text.build --out {self.folder})"
            )
        features = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=list(task.class_names))}
        columns = {"text": examples["texts"], "label": examples["labels"]}
        texts = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
        return texts if limit is None else texts.select(evenly_spaced(len(texts), limit))

    def test_set_key(self, task_name: str) -> str:
        """The checksum of the test set, after the suite's and the task's name."""
        require_known(self.name, "task", task_name, self.task_names())
        return f"text {task_name} {self.test_sets[task_name]}"

    def trained(self, backbone: str) -> DataFrame:
        """No rows: nothing but the individual models has been trained on this suite."""
        import pandas as pd

        require_known(self.name, "backbone", backbone, self.backbones)
        return pd.DataFrame(columns=TRAINED)

    def sources(self, backbone: str, tasks: Sequence[str]) -> list[dict[str, str]]:
        """One row for the encoder and one for the zoo."""
        place = str(self._given) if self._given else "in the cache"
        return [
            {"kind": "model", "id": HUB_ID, "place": place, "revision": f"sha256:{HASHES['model.safetensors']}"},
            {"kind": "suite", "id": "text", "place": place, "revision": self.content_hash(backbone)},
        ]
