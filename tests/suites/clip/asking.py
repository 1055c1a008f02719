"""What a process of its own is asked about the suite, and the right answers."""

from __future__ import annotations

import io
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from PIL import Image

from cmmlib.suites.clip.tasks import TASKS, ClipTask

from ...helpers import clip_standin as standin

TASK = {task.name: task for task in TASKS}

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
        rows = [(row["image"], row["label"]) for row in result]
        return [[image.mode, image.size, sha256(image.tobytes()).hexdigest(), label] for image, label in rows]
    if request["call"] in ("base", "checkpoint"):
        found = open_model(result)
        return {"files": sorted(x.name for x in Path(result).iterdir()), "tensors": len(found.shapes), "folder": result}
    return result

CACHE = os.environ["CMMLIB_CACHE"]
"""


def request(call: str, *args: str, **more: object) -> dict:
    return {"call": call, "args": args, **more}


def rows(dataset: Iterable[dict[str, Any]]) -> list[list]:
    return [[x["image"].mode, list(x["image"].size), sha256(x["image"].tobytes()).hexdigest(), x["label"]] for x in dataset]


def written(task: ClipTask) -> list[list]:
    """What SCRIPT answers for the test set that the stand-in wrote."""
    rows = []
    for i, label in enumerate(standin.labels_of(task)):
        image = Image.open(io.BytesIO(standin.image_of(task, i, label)))
        rows.append([image.mode, list(image.size), sha256(image.tobytes()).hexdigest(), label])
    return rows
