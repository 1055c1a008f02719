"""The suite from folders."""

from __future__ import annotations

import pickle
from pathlib import Path

from safetensors.torch import load_file

from cmmlib.suites import load_suite
from cmmlib.suites.clip.tasks import TASKS

from .asking import LIMIT, kept, rows, written


def test_folders_give_the_same_as_the_hub(clip_folder: Path, cache: Path):
    suite = load_suite("clip", models_dir=clip_folder / "models", data_dir=clip_folder / "datasets")
    suite = pickle.loads(pickle.dumps(suite))  # as worker processes get it
    for task in TASKS:
        images = suite.test_set(task.name)
        assert len(images) == task.images
        assert rows(images.select(kept(task))) == rows(suite.test_set(task.name, LIMIT)) == written(task)
    base = suite.base("ViT-B/16")
    assert base == str(clip_folder / "models" / "openai" / "clip-vit-base-patch16")
    towers = [load_file(Path(suite.checkpoint("ViT-B/16", name)) / "model.safetensors") for name in ("dtd", "svhn")]
    assert towers[0].keys() == towers[1].keys() and all(name.startswith("vision_model.") for name in towers[0])
    sources = suite.sources("ViT-B/16", suite.task_names())
    assert len(sources) == 20 + 3 and base in [row["place"] for row in sources]  # what has been used, no more
    assert all(row["revision"].startswith("sha256:") for row in sources)
    assert suite.sources("ViT-L/14", ["mnist"]) == [row for row in sources if row["id"] == "ylecun/mnist"]
    assert [path.name for path in (cache / "clip").iterdir() if path.suffix != ".lock"] == ["revisions.json"]
