"""The CLIP suite: OpenAI's CLIP in three sizes, twenty tasks and their fine-tuned towers, from a hub or folders."""

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
from .repositories import Repositories
from .sampling import LIMIT_RULE
from .split import Split
from .tasks import SUBSETS, TASKS, ClipTask

if TYPE_CHECKING:  # datasets takes seconds to import
    from datasets import Dataset
    from pandas import DataFrame


class ClipSuite:
    """The suite of the papers.  See `cmmlib.suites.suite.Suite` for the interface.

    Args:
        models_dir, data_dir: folders with the hub's layout, ``<models_dir>/openai/clip-vit-base-patch32/config.json`` and
            ``<data_dir>/tanganke/sun397/data/test-…``, as ``hf download --local-dir`` leaves it; None for the hub.
        revisions: hub id → commit, branch or tag, or a file of these; see `cmmlib.suites.clip.repositories`.
        accept_labels: a task, or several, whose data set may declare other label names than the prompts have.
        subset: only the tasks of this name in `cmmlib.suites.clip.tasks.SUBSETS`; None for all twenty.

    Raises:
        FileNotFoundError: models_dir, data_dir or the file of revisions does not exist.
        ValueError: an unknown task or subset, or revisions that cannot be read.
    """

    name = "clip"
    backbones = tuple(MODELS)
    tasks: tuple[ClipTask, ...] = TASKS
    subset: str | None = None
    limit = None
    precision = "float32"

    def __init__(
        self,
        *,
        models_dir: str | Path | None = None,
        data_dir: str | Path | None = None,
        revisions: str | Path | Mapping[str, Any] | None = None,
        accept_labels: Iterable[str] = (),
        subset: str | None = None,
    ) -> None:
        self.subset = subset
        if subset is not None:
            require_known(self.name, "subset", subset, tuple(SUBSETS))
            self.tasks = tuple(task for task in TASKS if task.name in SUBSETS[subset])
        self.accept_labels = (accept_labels,) if isinstance(accept_labels, str) else tuple(accept_labels)
        for name in self.accept_labels:
            self._require_task(name)
        self.repositories = Repositories(models_dir, data_dir, revisions)

    def task_names(self, n: int | None = None) -> tuple[str, ...]:
        """The first `n` task names in suite order, or all if `n` is None."""
        return first_names(self.tasks, n)

    def content_hash(self, backbone: str) -> str:
        """Hash of class names, prompts, models, and which columns of which data sets are used, the same for all backbones.

        Revisions are not part of it; `sources` has them.
        """
        return self._content_hash

    @cached_property
    def _content_hash(self) -> str:
        rows = [
            [task.name, task.class_names, task.templates, task.dataset, task.config, task.split, task.image, task.label]
            for task in self.tasks
        ]
        return sha256(json.dumps([rows, LABEL_RULE, LIMIT_RULE, MODELS]).encode()).hexdigest()

    def base(self, backbone: str) -> str:
        """Folder of the pretrained CLIPModel with its tokenizer and image processor."""
        return self._model(base_id(backbone))

    def checkpoint(self, backbone: str, task_name: str) -> str:
        """Folder of the vision tower fine-tuned on a task."""
        self._require_task(task_name)
        return self._model(tower_id(backbone, task_name))

    def test_set(self, task_name: str, limit: int | None = None) -> Dataset:
        """The images that a task is scored on: columns image (PIL) and label (int64, or ClassLabel if declared).

        Fetches only that split, and with a limit only a part of it.  See `cmmlib.suites.clip.split.Split` for the checks and
        the errors.
        """
        return self.split(task_name).read(limit)

    def test_set_key(self, task_name: str) -> str:
        """Data set, configuration, split, revision, columns and the rules for labels, as JSON.  Pins the revision."""
        return self.split(task_name).key()

    def split(self, task_name: str) -> Split:
        """Where the images of a task lie, found and not fetched."""
        self._require_task(task_name)
        task = next(task for task in self.tasks if task.name == task_name)
        return Split(self.repositories, task, check_names=task.name not in self.accept_labels)

    def trained(self, backbone: str) -> DataFrame:
        """No rows: nothing has been trained on this suite."""
        import pandas as pd

        base_id(backbone)
        return pd.DataFrame(columns=TRAINED)

    def sources(self, backbone: str, tasks: Sequence[str]) -> list[dict[str, str]]:
        """Kind, id, place and revision of the models and data sets of these tasks that have been used with this cache."""
        models = [base_id(backbone), *(tower_id(backbone, task) for task in tasks)]
        wanted = [("models", repo) for repo in models]
        wanted += [("datasets", task.dataset) for task in self.tasks if task.name in tasks]
        return self.repositories.sources(wanted)

    def _require_task(self, name: str) -> None:
        require_known(self.name, "task", name, self.task_names())

    def _model(self, repo: str) -> str:
        files = model_files(self.repositories.names("models", repo))
        self.repositories.revision("models", repo, files)
        return str(self.repositories.fetch("models", repo, files))
