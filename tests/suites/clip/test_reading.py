"""Data sets as they are read, and those that are not as told."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from cmmlib.suites import load_suite

from ...helpers import clip_standin as standin
from .asking import TASK

PNG = standin.image_of(TASK["mnist"], 0, 0)


def test_a_data_set_has_no_other_columns_and_keeps_its_label_names(clip_folder: Path, cache: Path):
    suite = load_suite("clip", data_dir=clip_folder / "datasets")
    assert suite.test_set("oxford-iiit-pet").column_names == ["image", "label"]
    assert suite.test_set("oxford-iiit-pet").features["label"].num_classes == 37
    assert suite.test_set("pcam")["label"][:] == [0, 0, 1, 1]


def remade(folder: Path, rows: list[tuple[bytes, object]], **changes: object) -> Path:
    """DTD with other rows or columns, and no card."""
    target = folder / "tanganke" / "dtd"
    shutil.rmtree(target)
    standin.write_parquet(target / "data", replace(TASK["dtd"], **changes), rows)
    return folder


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        ([(PNG, 0)], {"label": "fine_label"}, r"no column 'label', only 'image', 'fine_label'.*revisions=.*or data_dir"),
        ([(PNG, 0)], {"image": "img"}, r"no column 'image', only 'img', 'label'"),
        ([(PNG, 0), (PNG, -1)], {}, r"column 'label' has labels from -1 to 0, but task dtd has classes 0 to 46"),
        ([(PNG, None)], {}, r"column 'label' has rows without a label"),
        ([(None, 0)], {}, r"column 'image' has images without content"),
        ([(PNG, 0)], {"class_names": tuple("abc")}, r"dtd: .*declares 3 classes"),
        ([(PNG, 0)], {"split": "train"}, r"no files .* for split 'test'; it has these splits: train\. "),
        ([(PNG, 0)], {"split": "never"}, r"no files .* for split 'test'; it has these splits: none\. "),
    ],
)
def test_a_data_set_that_is_not_as_told_is_named(rows: list, changes: dict, message: str, folder: Path, cache: Path):
    suite = load_suite("clip", data_dir=remade(folder, rows, **changes))
    with pytest.raises(ValueError, match=message):
        suite.test_set("dtd")


def test_other_label_names_can_be_accepted(folder: Path, cache: Path):
    names = ("brand-new", *TASK["dtd"].class_names[1:])
    remade(folder, [(PNG, 1)], class_names=names)
    with pytest.raises(ValueError, match="brand-new"):
        load_suite("clip", data_dir=folder).test_set("dtd")
    assert load_suite("clip", data_dir=folder, accept_labels=["dtd"]).test_set("dtd")["label"][:] == [1]


def test_a_damaged_file_is_named(folder: Path, cache: Path):
    file = folder / "tanganke" / "dtd" / "data" / "test-00000-of-00001.parquet"
    file.write_bytes(b"no Parquet")
    with pytest.raises(ValueError, match=r"test-00000-of-00001\.parquet is damaged: remove it and fetch it again"):
        load_suite("clip", data_dir=folder).test_set("dtd")
