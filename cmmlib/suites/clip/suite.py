"""The CLIP suite: OpenAI's CLIP in three sizes, twenty tasks and their fine-tuned towers, from a hub or from folders."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...models.hub import model_files
from ..suite import TRAINED, first_names, require_known
from .backbones import MODELS, base_id, tower_id
from .label_column import LABEL_RULE
from .reading import read_test_set
from .repositories import Repositories
from .split_files import CARD, read_card, split_files
from .tasks import TASKS, ClipTask

if TYPE_CHECKING:  # datasets takes seconds to import
    from datasets import Dataset
    from pandas import DataFrame


class ClipSuite:
    """See `cmmlib.suites.suite.Suite` for the interface.

    Args:
        models_dir, data_dir: folders with the hub's own layout, ``<models_dir>/openai/clip-vit-base-patch32/config.json``
            and ``<data_dir>/tanganke/sun397/data/test-…``, as ``hf download --local-dir`` leaves it; None for the hub.
        revisions: hub id → commit, branch or tag, or a JSON file of these; see `cmmlib.suites.clip.repositories`.
        accept_labels: tasks whose data set may declare other label names than the prompts have.
    """

    name = "clip"
    backbones = tuple(MODELS)
    tasks: tuple[ClipTask, ...] = TASKS
    limit = None
    precision = "float32"

    def __init__(
        self,
        *,
        models_dir: str | Path | None = None,
        data_dir: str | Path | None = None,
        revisions: str | Path | Mapping[str, Any] | None = None,
        accept_labels: Iterable[str] = (),
    ) -> None:
        self.accept_labels = (accept_labels,) if isinstance(accept_labels, str) else tuple(accept_labels)
        for name in self.accept_labels:
            self._require_task(name)
        self.repositories = Repositories(models_dir, data_dir, revisions)

    def task_names(self, n: int | None = None) -> tuple[str, ...]:
        """The first `n` task names in suite order, all for None."""
        return first_names(self.tasks, n)

    @cached_property
    def content_hash(self) -> str:
        """Hash of class names, prompts and where test sets lie; which revisions of them were used, `sources` says."""
        rows = [
            [task.name, task.class_names, task.templates, task.dataset, task.config, task.split, task.image, task.label]
            for task in self.tasks
        ]
        return sha256(json.dumps([rows, LABEL_RULE, MODELS]).encode()).hexdigest()

    def base(self, backbone: str) -> str:
        """Folder of the pretrained CLIPModel with its tokenizer and image processor."""
        return self._model(base_id(backbone))

    def checkpoint(self, backbone: str, task_name: str) -> str:
        """Folder of the vision tower fine-tuned on a task."""
        self._require_task(task_name)
        return self._model(tower_id(backbone, task_name))

    def test_set(self, task_name: str) -> Dataset:
        """The images that a task is scored on: columns image (PIL) and label (int64, or ClassLabel if it is declared).

        Fetches that split alone.  See `cmmlib.suites.clip.reading.read_test_set` for what it takes on disk.
        """
        task, files = self._split(task_name)
        key = self._key(task, files)
        folder = self.repositories.fetch("datasets", task.dataset, files)
        rows = [name for name in files if name != CARD]
        return read_test_set(folder, rows, task, key, task.name not in self.accept_labels)

    def test_set_key(self, task_name: str) -> str:
        """Data set, configuration, split, revision, columns and what becomes of labels; pins the revision."""
        return self._key(*self._split(task_name))

    def trained(self, backbone: str) -> DataFrame:
        """None has been trained here."""
        import pandas as pd

        base_id(backbone)
        return pd.DataFrame(columns=TRAINED)

    def sources(self, backbone: str, tasks: Sequence[str]) -> list[dict[str, str]]:
        """Kind, id, place and revision of those models and data sets that have been used in this cache."""
        models = [base_id(backbone), *(tower_id(backbone, task) for task in tasks)]
        wanted = [("models", repo) for repo in models]
        wanted += [("datasets", task.dataset) for task in self.tasks if task.name in tasks]
        return self.repositories.sources(wanted)

    def _require_task(self, name: str) -> None:
        require_known(self.name, "task", name, self.task_names())

    def _key(self, task: ClipTask, files: list[str]) -> str:
        revision = self.repositories.revision("datasets", task.dataset, files)
        return json.dumps([task.dataset, task.config, task.split, revision, task.image, task.label, LABEL_RULE])

    def _model(self, repo: str) -> str:
        files = model_files(self.repositories.names("models", repo))
        self.repositories.revision("models", repo, files)
        return str(self.repositories.fetch("models", repo, files))

    def _split(self, task_name: str) -> tuple[ClipTask, list[str]]:
        """A task, and the files of its data set that are needed: the split's, and the card."""
        self._require_task(task_name)
        task = next(task for task in self.tasks if task.name == task_name)
        names = self.repositories.names("datasets", task.dataset)
        card = [name for name in names if name == CARD]
        about = read_card(self.repositories.fetch("datasets", task.dataset, card) / CARD) if card else {}
        return task, [*card, *split_files(names, about, task)]
