"""Suites: a backbone, its fine-tuned vision towers and their test sets, under one small interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # datasets takes seconds to import
    from datasets import Dataset
    from pandas import DataFrame

TRAINED = ["label", "num_tasks", "seed", "step", "merged", "position", "task", "correct", "images"]
"""The columns of `Suite.trained`: as in `cmmlib.experiments.frames.accuracies`, with counts."""

NO_ORDER = -1
"""Stands for the seed where no order of the tasks has any bearing."""


@dataclass(frozen=True)
class Task:
    """One classification task: class names in label order, prompt templates with one "{}" each."""

    name: str
    class_names: tuple[str, ...]
    templates: tuple[str, ...]

    def prompts(self, label: int) -> list[str]:
        """Every template filled with the name of class `label`."""
        return [template.format(self.class_names[label]) for template in self.templates]


def first_names(tasks: Sequence[Task], n: int | None) -> tuple[str, ...]:
    """The names of the first `n` tasks, of all for None."""
    if n is not None and not 1 <= n <= len(tasks):
        raise ValueError(f"n is {n!r}; this suite has 1 to {len(tasks)} tasks")
    return tuple(task.name for task in tasks[:n])


def require_known(suite: str, what: str, value: str, choices: Sequence[str]) -> None:
    """ValueError unless a value is among the choices; `what` it is, a backbone or a task, is for the message."""
    if value not in choices:
        raise ValueError(f"unknown {what} {value!r} in suite {suite}; choices: {', '.join(choices)}")


class Suite(Protocol):
    """What an experiment needs of a suite. Unknown backbones and tasks are a ValueError with the choices."""

    @property
    def name(self) -> str:
        """As `cmmlib.suites.load_suite` takes it."""
        ...

    @property
    def backbones(self) -> tuple[str, ...]:
        """Names of the backbones."""
        ...

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All tasks, in suite order."""
        ...

    @property
    def limit(self) -> int | None:
        """At most so many images per test set, for a quick look; None for all."""
        ...

    @property
    def precision(self) -> str:
        """In which its images are scored, see `cmmlib.evaluation.scorer.ZeroShotScorer`."""
        ...

    @property
    def content_hash(self) -> str:
        """Changes whenever any score could change, with `limit` and `precision` too."""
        ...

    def task_names(self, n: int | None = None) -> tuple[str, ...]:
        """The first `n` task names in suite order, all for None."""
        ...

    def base(self, backbone: str) -> str:
        """Folder (or hub id) of the whole CLIPModel, with tokenizer and image processor."""
        ...

    def checkpoint(self, backbone: str, task_name: str) -> str:
        """Folder (or hub id) of the vision tower fine-tuned on a task."""
        ...

    def test_set(self, task_name: str) -> Dataset:
        """Test split with the columns image (PIL) and label (an int, or a ClassLabel), `limit` rows of it at most."""
        ...

    def test_set_key(self, task_name: str) -> str:
        """Names content and order of `test_set`: equal keys, equal rows.  Costs no pass over the images."""
        ...

    def trained(self, backbone: str) -> DataFrame:
        """Scores of towers that were trained on these tasks rather than merged; `TRAINED`, empty where there are none."""
        ...

    def sources(self, backbone: str, tasks: Sequence[str]) -> list[dict[str, str]]:
        """What they are made of: ``kind`` (model or dataset), ``id``, ``place`` (hub or a path), ``revision``."""
        ...
