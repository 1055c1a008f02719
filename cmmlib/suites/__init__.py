"""Suites: a backbone, its fine-tuned vision towers and their test sets, under one small interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # datasets takes seconds to import
    from datasets import Dataset

__all__ = ["Suite", "Task", "load_suite"]

SUITES = ("mini",)


@dataclass(frozen=True)
class Task:
    """One classification task: class names in label order, prompt templates with one "{}" each."""

    name: str
    class_names: tuple[str, ...]
    templates: tuple[str, ...]

    def prompts(self, label: int) -> list[str]:
        """Every template filled with the name of class `label`."""
        return [template.format(self.class_names[label]) for template in self.templates]


class Suite(Protocol):
    """What an experiment needs of a suite. Unknown backbones and tasks are a ValueError with the choices."""

    name: str
    backbones: tuple[str, ...]
    tasks: tuple[Task, ...]
    limit: int | None  # at most so many images per test set, for a quick look; None for all
    content_hash: str  # changes whenever any score could change, with `limit` too

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

    def sources(self) -> list[dict[str, str]]:
        """What has been used so far: ``kind`` (model or dataset), ``id``, ``place`` (hub or a path), ``revision``."""
        ...


def load_suite(name: str) -> Suite:
    """The suite of that name; ValueError with the known names for any other."""
    if name == "mini":
        from .mini import MiniSuite

        return MiniSuite()
    raise ValueError(f"unknown suite {name!r}; known suites: {', '.join(SUITES)}")
