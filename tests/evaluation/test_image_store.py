"""The cache of preprocessed images: whole or not at all, shared, damage noticed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cmmlib.evaluation import image_store
from cmmlib.evaluation.image_store import TestImages
from cmmlib.evaluation.preprocessing import shaped

from .noise import Noise, processor, visible

pytestmark = pytest.mark.usefixtures("cache")


@pytest.mark.parametrize("workers", [1, 3])
def test_what_is_read_is_the_test_set_in_order(workers):
    suite, clip = Noise(), processor()
    images = TestImages(suite, "a", clip, workers=workers)
    data = suite.test_set("a")
    assert images.shape == (600, 3, 8, 8)
    assert np.array_equal(images.read(0, 600), np.stack([shaped(image, clip) for image in data["image"]]))
    assert np.array_equal(images.read(250, 270), images.read(0, 600)[250:270]) and len(images.read(590, 999)) == 10
    assert images.labels.tolist() == list(data["label"]) and images.labels.dtype == torch.int64


def test_a_set_is_made_once_and_shared_by_equal_processors(cache, monkeypatch):
    TestImages(Noise(), "a", processor())
    monkeypatch.setattr(image_store, "write_images", lambda *a: pytest.fail("made again"))
    TestImages(Noise(), "a", processor(image_std=[0.5, 0.5, 0.5]))  # normalisation comes after
    assert len(visible(cache)) == 1


@pytest.mark.parametrize("when", ["open", "closed"])
def test_a_flipped_byte_is_noticed_and_the_set_made_again(cache, when):
    images = TestImages(Noise(), "a", processor())
    whole = (images.folder / "pixels.npy").read_bytes()
    with open(images.folder / "pixels.npy", "r+b") as file:
        file.seek(len(whole) - 5)
        file.write(bytes([whole[-5] ^ 1]))
    if when == "closed":
        images = TestImages(Noise(), "a", processor())
    images.read(0, 512)  # not in the blocks that are read here
    with pytest.warns(UserWarning, match="pixels.npy: images from 512 on differ from their checksum; it is made again"):
        last = images.read(500, 600)
    assert last.tobytes() == whole[-100 * 192 :] and (images.folder / "pixels.npy").read_bytes() == whole
    assert visible(cache) == [images.folder.name]


def test_two_that_notice_the_same_damage_repair_it_once(cache, monkeypatch):
    first, second = (TestImages(Noise(), "a", processor()) for _ in range(2))
    with open(first.folder / "pixels.npy", "r+b") as file:
        file.seek(1000)
        file.write(b"damage")
    with pytest.warns(UserWarning):
        first.read(0, 600)
    monkeypatch.setattr(image_store, "write_images", lambda *a: pytest.fail("made again"))
    with pytest.warns(UserWarning):
        assert np.array_equal(second.read(0, 600), first.read(0, 600))


@pytest.mark.parametrize("file", ["labels.npy", "about.json", "pixels.npy"])
@pytest.mark.parametrize("damage", ["cut", "gone", "flipped"])
def test_any_damaged_file_is_made_again(file, damage):
    images = TestImages(Noise(), "a", processor())
    path = images.folder / file
    whole = path.read_bytes()
    flipped = whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:]
    path.unlink() if damage == "gone" else path.write_bytes(whole[:-3] if damage == "cut" else flipped)
    with pytest.warns(UserWarning, match="made again"):
        TestImages(Noise(), "a", processor()).read(0, 600)
    assert path.read_bytes() == whole


def test_damage_that_comes_back_is_an_error(monkeypatch: pytest.MonkeyPatch):
    write = image_store.write_images

    def damaged(folder: Path, *source: object) -> None:
        write(folder, *source)
        about = json.loads((folder / "about.json").read_text())
        about["blocks"][0] ^= 1
        (folder / "about.json").write_text(json.dumps(about))

    monkeypatch.setattr(image_store, "write_images", damaged)
    images = TestImages(Noise(), "a", processor())
    with (
        pytest.warns(UserWarning, match="it is made again"),
        pytest.raises(OSError, match="just after they were written: is the disk or the memory failing"),
    ):
        images.read(0, 10)


def test_blocks_are_verified_once_unless_that_is_forgotten():
    images = TestImages(Noise(), "a", processor())
    images.read(0, 600)
    with open(images.folder / "pixels.npy", "r+b") as file:
        file.seek(1000)
        file.write(b"damage")
    images.read(0, 600)
    images.forget_verified()
    with pytest.warns(UserWarning, match="images from 0 on differ"):
        images.read(0, 600)
