"""The twenty tasks of the CLIP suite: which data set, which columns, which class names and prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .. import Task


@dataclass(frozen=True)
class ClipTask(Task):
    """A task whose test set lies on a hub.

    Attributes:
        dataset: hub id, owner/name.
        config: configuration of the data set, None for its only one.
        split: of the data set, the one that is scored.
        image, label: names of the two columns that are used.
        images: how many images the split has, as published; for estimates of disk and time, never for scores.
        aliases: class name as the data set declares it → as the prompts name it, where spelling alone does not match them.
    """

    dataset: str = ""
    config: str | None = None
    split: str = "test"
    image: str = "image"
    label: str = "label"
    images: int = 0
    aliases: Mapping[str, str] = field(default_factory=dict, hash=False)


TASKS: tuple[ClipTask, ...] = ()
