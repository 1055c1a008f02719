"""Data sets as they are read, and those that are not as told."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from cmmlib.suites import load_suite
from cmmlib.suites.clip import ClipSuite

from ...helpers import clip_standin as standin
from .asking import TASK

PNG = standin.image_of(TASK["mnist"], 0, 0)


def test_a_data_set_has_no_other_columns_and_keeps_its_label_names(clip_folder: Path, cache: Path):
    suite = load_suite("clip", data_dir=clip_folder / "datasets")
    assert suite.test_set("oxford-iiit-pet", 3).column_names == ["image", "label"]
    assert suite.test_set("oxford-iiit-pet", 3).features["label"].num_classes == 37
    assert suite.test_set("pcam", 4)["label"][:] == [0, 0, 0, 1]  # rows 0, 8,000, 16,000 and 24,000


def remade(folder: Path, rows: list[tuple[bytes, object]], **changes: object) -> Path:
    """DTD with other rows or columns, and no card."""
    target = folder / "tanganke" / "dtd"
    shutil.rmtree(target)
    standin.write_parquet(target / "data", replace(TASK["dtd"], **changes), rows)
    return folder


def opened(folder: Path, images: int, **options: object) -> ClipSuite:
    """The suite on a folder whose DTD has so many images."""
    suite = ClipSuite(data_dir=folder, **options)
    suite.tasks = tuple(replace(task, images=images) if task.name == "dtd" else task for task in suite.tasks)
    return suite


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
        ([(PNG, 0)], {"split": "partial-test"}, r"for split 'test' \(partial-test holds only a part of it\)"),
    ],
)
def test_a_data_set_that_is_not_as_told_is_named(rows: list, changes: dict, message: str, folder: Path, cache: Path):
    suite = opened(remade(folder, rows, **changes), len(rows))
    with pytest.raises(ValueError, match=message):
        suite.test_set("dtd")


def test_other_label_names_can_be_accepted(folder: Path, cache: Path):
    names = ("brand-new", *TASK["dtd"].class_names[1:])
    remade(folder, [(PNG, 1)], class_names=names)
    with pytest.raises(ValueError, match="brand-new"):
        opened(folder, 1).test_set("dtd")
    assert opened(folder, 1, accept_labels=["dtd"]).test_set("dtd")["label"][:] == [1]


def test_the_cards_label_names_are_compared_too(folder: Path, cache: Path):
    card = folder / "tanganke" / "dtd" / "README.md"
    card.write_text(card.read_text().replace('"banded"', '"blotchy"').replace("'1': \"blotchy\"", "'1': \"banded\""))
    with pytest.raises(ValueError, match=r"README\.md .*declares the right classes in another order"):
        ClipSuite(data_dir=folder).test_set("dtd")


@pytest.mark.parametrize("limit", [None, 5])
@pytest.mark.parametrize(
    ("count", "said"), [(1879, "some are missing, as after an interrupted download"), (1881, "changed")]
)
def test_rows_missing_or_too_many_are_an_error_with_both_numbers(
    count: int, said: str, limit: int | None, folder: Path, cache: Path
):
    remade(folder, [(PNG, 0)] * count)
    with pytest.raises(ValueError, match=rf"split 'test' holds {count:,} images in 1 files, not 1,880: .*{said}"):
        ClipSuite(data_dir=folder).test_set("dtd", limit)
    assert not list(cache.rglob("images/*"))


def columns(folder: Path, images: pa.Array) -> Path:
    """DTD with this column of images and labels of 0."""
    shutil.rmtree(folder / "tanganke" / "dtd")
    (folder / "tanganke" / "dtd" / "data").mkdir(parents=True)
    table = pa.table({"image": images, "label": pa.array([0] * len(images), pa.int64())})
    parquet.write_table(table, folder / "tanganke" / "dtd" / "data" / "test-00000-of-00001.parquet")
    return folder


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.struct({"bytes": pa.binary()})])
def test_plain_bytes_are_images(kind: pa.DataType, folder: Path, cache: Path):
    plain = [PNG, PNG] if not pa.types.is_struct(kind) else [{"bytes": PNG}] * 2
    (first, _) = opened(columns(folder, pa.array(plain, kind)), 2).test_set("dtd")["image"]
    assert first.tobytes() == Image.open(io.BytesIO(PNG)).tobytes()


@pytest.mark.parametrize(
    "images", [pa.array(["cat.png"]), pa.array([[1, 2]]), pa.array([{"path": "cat.png"}])], ids=["path", "list", "struct"]
)
def test_a_column_that_holds_no_images_is_named(images: pa.Array, folder: Path, cache: Path):
    with pytest.raises(ValueError, match=r"column 'image' holds .*, where the bytes of image files are expected"):
        opened(columns(folder, images), 1).test_set("dtd")


@pytest.fixture
def faces(clip_folder: Path, tmp_path: Path) -> Path:
    """A data_dir of one's own with FER2013; its repository's folder."""
    return Path(
        shutil.copytree(clip_folder / "datasets/clip-benchmark/wds_fer2013", tmp_path / "clip-benchmark/wds_fer2013")
    )


def test_labels_in_an_undeclared_order_are_compared_with_the_list_of_names(faces: Path, cache: Path):
    suite = ClipSuite(data_dir=faces.parents[1])
    assert suite.split("fer2013").contents().rows == 7178
    names = (faces / "classnames.txt").read_text().split("\n")
    (faces / "classnames.txt").write_text("\n".join([*names[1:], names[0]]))
    with pytest.raises(ValueError, match=r"classnames\.txt .*declares the right classes in another order"):
        suite.test_set("fer2013")


def test_label_names_that_are_only_numbers_leave_it_to_the_list_of_names(folder: Path, cache: Path):
    remade(folder, [(PNG, 1)], class_names=tuple(str(label) for label in range(47)))
    assert opened(folder, 1).test_set("dtd")["label"][:] == [1]
    names = TASK["dtd"].class_names
    (folder / "tanganke" / "dtd" / "classnames.txt").write_text("\n".join([*names[1:], names[0]]))
    (cache / "clip" / "revisions.json").unlink()
    with pytest.raises(ValueError, match=r"classnames\.txt .*declares the right classes in another order"):
        opened(folder, 1).test_set("dtd")


def test_a_tar_file_that_is_missing_or_cut_short_is_an_error(faces: Path, cache: Path):
    suite = ClipSuite(data_dir=faces.parents[1])
    tar = faces / "test" / "3.tar"
    content = tar.read_bytes()
    tar.write_bytes(content[: len(content) // 1024 * 512])
    with pytest.raises(ValueError, match=r"3\.tar is damaged: remove it and fetch it again|holds 6,\d+ images in 4 files"):
        suite.test_set("fer2013")
    tar.unlink()
    (cache / "clip" / "revisions.json").unlink()
    with pytest.raises(ValueError, match=r"holds 5,383 images in 3 files, not 7,178"):
        suite.test_set("fer2013", 5)


def test_a_damaged_file_is_named(folder: Path, cache: Path):
    file = folder / "tanganke" / "dtd" / "data" / "test-00000-of-00001.parquet"
    file.write_bytes(b"no Parquet")
    with pytest.raises(ValueError, match=r"test-00000-of-00001\.parquet is damaged: remove it and fetch it again"):
        load_suite("clip", data_dir=folder).test_set("dtd")


def test_pages_that_cannot_be_decompressed_are_named(folder: Path, cache: Path):
    file = folder / "tanganke" / "dtd" / "data" / "test-00000-of-00001.parquet"
    content = bytearray(file.read_bytes())
    content[4:4000] = bytes(3996)
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"test-00000-of-00001\.parquet is damaged: remove it and fetch it again"):
        load_suite("clip", data_dir=folder).test_set("dtd")
