"""The interface of a suite: backbones, their fine-tuned encoders (of a CLIP, vision towers) and test sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # datasets takes seconds to import
    from datasets import Dataset
    from pandas import DataFrame

TRAINED = ["label", "num_tasks", "seed", "step", "merged", "position", "task", "correct", "images"]
"""The columns of `Suite.trained`: those of `cmmlib.experiments.frames.accuracies`, with counts in place of the accuracy."""

NO_ORDER = -1
"""The seed of a model that depends on no order of the tasks, such as one trained on all jointly."""


@dataclass(frozen=True)
class Task:
    """One classification task: class names in label order, and prompt templates with one "{}" each."""

    name: str
    class_names: tuple[str, ...]
    templates: tuple[str, ...]

    def prompts(self, label: int) -> list[str]:
        """The prompts of class `label`: every template with the class name filled in."""
        return [template.format(self.class_names[label]) for template in self.templates]


def first_names(tasks: Sequence[Task], n: int | None) -> tuple[str, ...]:
    """The names of the first `n` tasks, or of all if `n` is None; ValueError if there are fewer."""
    if n is not None and not 1 <= n <= len(tasks):
        raise ValueError(f"n is {n!r}; give 1 to {len(tasks)} tasks, or None for all of the suite")
    return tuple(task.name for task in tasks[:n])


def require_known(suite: str, what: str, value: str, choices: Sequence[str]) -> None:
    """Raise ValueError unless `value` is among `choices`; `what` ("backbone" or "task") is for the message."""
    if value not in choices:
        raise ValueError(f"unknown {what} {value!r} in suite {suite}; choices: {', '.join(choices)}")


def evenly_spaced(n: int, count: int) -> list[int]:
    """``count`` of the numbers 0 … n − 1, evenly spaced: floor(i · n / count); all if there are no more."""
    return [i * n // count for i in range(count)] if count < n else list(range(n))


def not_the_protocol(suite: Suite) -> str:
    """A line that says what a suite leaves out of its tasks and test sets; empty if nothing."""
    subset = getattr(suite, "subset", None)
    if suite.limit is None and subset is None:
        return ""
    which = f"the tasks {', '.join(suite.task_names())}" if subset else "the tasks"
    return f"Not the protocol: {which} on at most {suite.limit or 'all'} inputs each. For looking only."


class Suite(Protocol):
    """What an experiment needs of a suite.  Unknown backbones and tasks raise a ValueError that lists the choices."""

    @property
    def name(self) -> str:
        """The name that `cmmlib.suites.load_suite` takes."""
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
        """The largest number of images or texts per test set, for a quick look; None for all."""
        ...

    @property
    def precision(self) -> str:
        """``float32`` or ``bfloat16``, see `cmmlib.evaluation.scorer.ZeroShotScorer`."""
        ...

    def content_hash(self, backbone: str) -> str:
        """A hash of everything in the suite that a backbone's scores depend on, `limit` and `precision` included."""
        ...

    def task_names(self, n: int | None = None) -> tuple[str, ...]:
        """The first `n` task names in suite order, or all if `n` is None."""
        ...

    def base(self, backbone: str) -> str:
        """Folder (or hub id) of the base: a whole CLIPModel with tokenizer and image processor, or a sentence encoder."""
        ...

    def checkpoint(self, backbone: str, task_name: str) -> str:
        """Folder (or hub id) of the vision tower or encoder fine-tuned on a task."""
        ...

    def test_set(self, task_name: str, limit: int | None = None) -> Dataset:
        """The test split, at most ``limit`` rows: columns image (PIL) or text, and label (int64 or ClassLabel)."""
        ...

    def test_set_key(self, task_name: str) -> str:
        """A key of the content and order of `test_set` without its limit: equal keys, equal rows.  Reads no rows."""
        ...

    def trained(self, backbone: str) -> DataFrame:
        """Scores of towers that were trained on the tasks rather than merged: columns `TRAINED`, empty if there are none."""
        ...

    def sources(self, backbone: str, tasks: Sequence[str]) -> list[dict[str, str]]:
        """What the scores are measured on, one row per model and data set.

        Keys: ``kind`` ("model", "dataset" or "suite"), ``id``, ``place`` ("hub", a path or "in cmmlib") and ``revision``.
        """
        ...
