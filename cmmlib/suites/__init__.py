"""Suites: a backbone, its fine-tuned vision towers and their test sets, under one small interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # datasets takes seconds to import
    from datasets import Dataset
    from pandas import DataFrame

__all__ = ["Suite", "Task", "load_suite"]

SUITES = {"mini": ("folder",), "clip": ("models_dir", "data_dir", "revisions", "accept_labels")}
"""What each suite takes besides `limit` and `precision`."""

TRAINED = ["label", "num_tasks", "seed", "step", "merged", "position", "task", "correct", "images"]
"""The columns of `Suite.trained`: as in `cmmlib.scores.accuracies`, with counts."""

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


class Suite(Protocol):
    """What an experiment needs of a suite. Unknown backbones and tasks are a ValueError with the choices."""

    name: str
    backbones: tuple[str, ...]
    tasks: tuple[Task, ...]
    limit: int | None  # at most so many images per test set, for a quick look; None for all
    precision: str  # in which its images are scored, see `cmmlib.evaluate.ZeroShotScorer`
    content_hash: str  # changes whenever any score could change, with `limit` and `precision` too

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


PRECISIONS = ("float32", "bfloat16")


class Variant:
    """A suite that is scored otherwise: on fewer images, or in another precision.  Its scores are kept apart.

    With a `limit` the floor(i · n / limit)-th images of a test set are taken: many data sets are sorted by class.
    """

    def __init__(self, suite: Suite, limit: int | None = None, precision: str = "float32") -> None:
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise ValueError(f"limit is {limit!r}: give a number of images per test set, at least 1, or None for all")
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision!r}; choices: {', '.join(PRECISIONS)}")
        self.suite, self.limit, self.precision = suite, limit, precision

    def __getattr__(self, name: str) -> Any:
        if name == "suite":  # not there yet while it is unpickled
            raise AttributeError(name)
        return getattr(self.suite, name)

    @property
    def content_hash(self) -> str:
        """Hash of the whole suite's, the limit and the precision."""
        return sha256(f"{self.suite.content_hash} limit {self.limit} {self.precision}".encode()).hexdigest()

    def test_set(self, task_name: str) -> Dataset:
        """At most `limit` rows of the whole test set, evenly spaced."""
        whole = self.suite.test_set(task_name)
        if self.limit is None or len(whole) <= self.limit:
            return whole
        return whole.select([i * len(whole) // self.limit for i in range(self.limit)])

    def test_set_key(self, task_name: str) -> str:
        """The whole test set's, and the limit."""
        return self.suite.test_set_key(task_name) + (f" limit {self.limit}" if self.limit else "")

    def trained(self, backbone: str) -> DataFrame:
        """None: those of the whole suite are of all images, in its own precision."""
        return self.suite.trained(backbone).iloc[:0]


def load_suite(name: str, *, limit: int | None = None, precision: str = "float32", **where: Any) -> Suite:
    """The suite of that name.

    Args:
        name: "mini" or "clip".
        limit: at most so many images per test set, evenly spaced; None for all.
        precision: in which images are scored, ``float32`` or ``bfloat16``.
        where: for "clip", where models and data sets come from: models_dir, data_dir, revisions, accept_labels; see
            `cmmlib.suites.clip.ClipSuite`.  For "mini": folder, another zoo than the one that ships.

    Raises:
        ValueError: unknown name, an option that the suite does not take, or a bad one.
    """
    if name not in SUITES:
        raise ValueError(f"unknown suite {name!r}; known suites: {', '.join(SUITES)}")
    if unknown := where.keys() - set(SUITES[name]):
        takes = ", ".join(("limit", "precision", *SUITES[name]))
        raise ValueError(f"suite {name} does not take {', '.join(sorted(unknown))}; it takes {takes}")
    if name == "mini":
        from .mini import MiniSuite as Loaded
    else:
        from .clip import ClipSuite as Loaded
    suite = Loaded(**where)
    return suite if (limit, precision) == (None, "float32") else Variant(suite, limit, precision)
