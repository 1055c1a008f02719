"""The files of a preprocessed test set: their name, what is written, and what stops the writing."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pytest
from datasets import Dataset
from datasets import Image as Images
from PIL import Image

from cmmlib.evaluation import image_files
from cmmlib.evaluation.image_files import images_key
from cmmlib.evaluation.image_store import TestImages

from .noise import Noise, processor, visible

pytestmark = pytest.mark.usefixtures("cache")


def test_other_content_or_other_shape_is_another_set():
    keys = [images_key("a", processor()), images_key("b", processor()), images_key("a", processor(9))]
    keys += [images_key("a", processor(resample=2)), images_key("a", processor(do_center_crop=False))]
    assert len(set(keys)) == 5


def test_about_says_what_it_was_made_from(cache):
    images = TestImages(Noise(), "a", processor())
    about = json.loads((images.folder / "about.json").read_text())
    assert about["test_set"] == "a 600 12" and about["shape"] == [600, 3, 8, 8] and len(about["blocks"]) == 3
    assert about["processor"]["crop_size"]["height"] == 8 and about["pillow"] and about["transformers"]
    assert sorted(path.name for path in images.folder.iterdir()) == ["about.json", "labels.npy", "pixels.npy"]


def test_no_space_is_said_before_anything_is_written(cache, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    with pytest.raises(OSError, match=r"1 MB are needed, 1 MB are free.*: set CMMLIB_CACHE"):
        TestImages(Noise(), "a", processor())
    assert visible(cache) == []


def test_a_failure_leaves_nothing_behind(cache, monkeypatch):
    monkeypatch.setattr(image_files, "flush", lambda path: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        TestImages(Noise(), "a", processor())
    assert visible(cache) == []


def test_a_processor_that_does_not_crop_is_an_error(cache):
    suite = Noise(3)
    mixed = [Image.new("RGB", (9, 9)), Image.new("RGB", (9, 20))]
    suite.test_set = lambda task: Dataset.from_dict({"image": mixed, "label": [0, 1]})
    with pytest.raises(ValueError, match="it must crop"):
        TestImages(suite, "a", processor(do_center_crop=False))
    with pytest.raises(ValueError, match="pads"):
        images_key("a", processor(do_pad=True))


@pytest.mark.parametrize("bad", [0, 40])
@pytest.mark.parametrize("damage", [lambda file: b"no image", lambda file: file[: len(file) // 2]], ids=["other", "cut"])
def test_an_image_that_cannot_be_decoded_is_named(bad, damage, cache):
    suite = Noise(50)
    files = [row["bytes"] for row in suite.test_set("a").cast_column("image", Images(decode=False))["image"]]
    files[bad] = damage(files[bad])
    columns = {"image": [{"bytes": file, "path": None} for file in files], "label": [0] * 50}
    suite.test_set = lambda task: Dataset.from_dict(columns).cast_column("image", Images())
    with pytest.raises(ValueError, match=rf"^the test set of a is damaged: its image {bad} cannot be decoded \("):
        TestImages(suite, "a", processor())
    assert visible(cache) == []


def test_only_large_sets_are_talked_about(capsys, monkeypatch):
    TestImages(Noise(), "a", processor())
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(image_files, "QUIET_BELOW", 1000)
    TestImages(Noise(), "b", processor())
    said = capsys.readouterr().err
    assert "preparing b: 600 images, 0.0 GB in " in said and "600/600" in said
