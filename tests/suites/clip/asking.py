"""What a process of its own is asked about the suite, and the right answers."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Any

from PIL import Image

from cmmlib.suites.clip.tasks import TASKS, ClipTask
from cmmlib.suites.suite import evenly_spaced

from ...helpers import clip_standin as standin

TASK = {task.name: task for task in TASKS}
LIMIT = 12  # images that tests look at

SCRIPT = """
import os
from hashlib import sha256
from pathlib import Path
from cmmlib.models import open_model
from cmmlib.suites import load_suite

def answer(request):
    os.environ["CMMLIB_CACHE"] = request.get("cache", CACHE)
    suite = load_suite("clip", **request.get("options", {}))
    result = getattr(suite, request["call"])(*request.get("args", ()))
    if request["call"] == "test_set":
        if "rows" in request:
            result = result.select(request["rows"])
        rows = [(row["image"], row["label"]) for row in result]
        return [[image.mode, image.size, sha256(image.tobytes()).hexdigest(), label] for image, label in rows]
    if request["call"] in ("base", "checkpoint"):
        found = open_model(result)
        return {"files": sorted(x.name for x in Path(result).iterdir()), "tensors": len(found.shapes), "folder": result}
    return result

CACHE = os.environ["CMMLIB_CACHE"]
"""


def request(call: str, *args: object, **more: object) -> dict:
    return {"call": call, "args": args, **more}


def images_of(task: ClipTask, **more: object) -> dict:
    """Ask for the whole test set, and for what is in the rows that `written` has."""
    return request("test_set", task.name, rows=kept(task), **more)


def rows(dataset: Iterable[dict[str, Any]]) -> list[list]:
    return [[x["image"].mode, list(x["image"].size), sha256(x["image"].tobytes()).hexdigest(), x["label"]] for x in dataset]


def kept(task: ClipTask, limit: int = LIMIT) -> list[int]:
    """The rows of the stand-in's test set that a limit leaves: all its row groups are small, so that none is left out for
    its size, and rows are spread over as many groups as there are, or as there are rows."""
    layout = standin.LAYOUTS.get(task.name, standin.Layout())
    shards = 4 if task.name == "fer2013" else layout.shards
    length = task.images if task.name == "fer2013" else layout.group
    bounds = [i * task.images // shards for i in range(shards + 1)]
    groups = [
        range(first, min(first + length, stop)) for start, stop in pairwise(bounds) for first in range(start, stop, length)
    ]
    some = [row for i in evenly_spaced(len(groups), limit) for row in groups[i]]
    return [some[i] for i in evenly_spaced(len(some), limit)]


def written(task: ClipTask, which: Sequence[int] | None = None) -> list[list]:
    """What SCRIPT answers for rows of the test set that the stand-in wrote, by default those that `LIMIT` leaves."""
    rows = []
    for i in kept(task) if which is None else which:
        image = Image.open(io.BytesIO(standin.image_of(task, i)))
        rows.append([image.mode, list(image.size), sha256(image.tobytes()).hexdigest(), standin.label_of(task, i)])
    return rows
