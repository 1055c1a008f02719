"""The cache of preprocessed images: the processor's own pixels, whole or not at all, damage noticed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image
from transformers import CLIPImageProcessorPil

from cmmlib.evaluation import images as module
from cmmlib.evaluation.images import TestImages, images_key, normalised, shaped, value_table

ROOT = Path(__file__).resolve().parents[2]


class Noise:
    """A test set of ``count`` images of noise."""

    name = "noise"

    def __init__(self, count: int = 600, size: int = 12) -> None:
        self.count, self.size = count, size

    def test_set_key(self, task):
        return f"{task} {self.count} {self.size}"

    def test_set(self, task):
        import datasets

        pixels = np.random.default_rng(0).integers(0, 256, (self.count, self.size, self.size, 3), dtype=np.uint8)
        columns = {"image": [Image.fromarray(image) for image in pixels], "label": [i % 3 for i in range(self.count)]}
        features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
        return datasets.Dataset.from_dict(columns, features=features)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CMMLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


def processor(edge: int = 8, **config) -> CLIPImageProcessorPil:
    return CLIPImageProcessorPil(size={"shortest_edge": edge}, crop_size={"height": edge, "width": edge}, **config)


def visible(folder: Path) -> list[str]:
    """What lies in the folder besides locks."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def odd_images() -> dict[str, Image.Image]:
    rng = np.random.default_rng(0)
    rgb = {name: rng.integers(0, 256, shape, dtype=np.uint8) for name, shape in SHAPES.items()}
    found = {name: Image.fromarray(pixels) for name, pixels in rgb.items()}
    square = found["square"]
    return found | {
        "gray": square.convert("L"),
        "1 bit": square.convert("1"),
        "palette": square.convert("P"),
        "cmyk": square.convert("CMYK"),
        "rgba": Image.fromarray(rng.integers(0, 256, (30, 40, 4), dtype=np.uint8)),
    }


SHAPES = {
    "square": (50, 50, 3),
    "tall": (200, 5, 3),
    "wide": (3, 90, 3),
    "three": (3, 3, 3),
    "tiny": (2, 1, 3),
    "1x1": (1, 1, 3),
    "224": (224, 224, 3),
}


@pytest.mark.parametrize("config", [{}, {"do_resize": False}, {"image_std": [0.5, 0.1, 0.3]}, {"do_normalize": False}])
@pytest.mark.parametrize("name", [*SHAPES, "gray", "1 bit", "palette", "cmyk", "rgba"])
def test_pixels_are_the_processors_to_the_bit(name, config):
    image, clip = odd_images()[name], processor(224, **config)
    expected = clip(image.convert("RGB"), return_tensors="pt")["pixel_values"]
    stored = shaped(image, clip)
    assert stored.dtype == np.uint8
    assert torch.equal(normalised(torch.tensor(stored)[None], value_table(clip)), expected)


def test_all_values_of_all_channels_are_the_processors():
    values = np.stack([np.roll(np.arange(256, dtype=np.uint8), 85 * i) for i in range(3)], axis=-1).reshape(16, 16, 3)
    clip = processor(16)
    expected = clip(Image.fromarray(values), return_tensors="pt")["pixel_values"]
    assert torch.equal(normalised(torch.tensor(shaped(Image.fromarray(values), clip))[None], value_table(clip)), expected)


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
    monkeypatch.setattr(module, "write_images", lambda *a: pytest.fail("made again"))
    TestImages(Noise(), "a", processor(image_std=[0.5, 0.5, 0.5]))  # normalisation comes after
    assert len(visible(cache)) == 1


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
    monkeypatch.setattr(module, "write_images", lambda *a: pytest.fail("made again"))
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


def test_damage_that_comes_back_is_an_error(monkeypatch):
    images = TestImages(Noise(), "a", processor())
    images._checksums[0] ^= 1
    monkeypatch.setattr(images, "_repair", lambda fault: None)
    with pytest.raises(OSError, match="just after they were written: is the disk or the memory failing"):
        images.read(0, 10)


def test_no_space_is_said_before_anything_is_written(cache, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1_000_000))
    with pytest.raises(OSError, match=r"1 MB are needed, 1 MB are free.*: set CMMLIB_CACHE"):
        TestImages(Noise(), "a", processor())
    assert visible(cache) == []


def test_a_failure_leaves_nothing_behind(cache, monkeypatch):
    monkeypatch.setattr(module, "flush", lambda path: (_ for _ in ()).throw(OSError(28, "No space left on device")))
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


def test_only_large_sets_are_talked_about(capsys, monkeypatch):
    TestImages(Noise(), "a", processor())
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(module, "QUIET_BELOW", 1000)
    TestImages(Noise(), "b", processor())
    said = capsys.readouterr().err
    assert "preparing b: 600 images, 0.0 GB in " in said and "600/600" in said


CHILD = """
import sys, time
sys.path.insert(0, sys.argv[1])
from tests.test_images import Noise, processor
from cmmlib import images as module

chunks = module._chunks
def slow(images, clip, workers):
    for number, chunk in enumerate(chunks(images, clip, workers)):
        yield chunk
        print(number, flush=True)
        time.sleep(float(sys.argv[2]))
module._chunks = slow
print("ready", flush=True)
sys.stdin.readline()
found = module.TestImages(Noise(), "a", processor(), workers=2)
print("sum", int(found.read(0, 600).sum()), flush=True)
"""


def child(pause: float) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(ROOT), str(pause)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def test_a_killed_builder_leaves_nothing_that_stays(cache):
    builder = child(0.2)
    assert builder.stdout.readline() == "ready\n"
    builder.stdin.write("\n")
    builder.stdin.flush()
    for number in range(4):  # of 19 chunks
        assert builder.stdout.readline() == f"{number}\n"
    builder.send_signal(signal.SIGKILL)
    builder.wait()
    assert len(visible(cache)) == 1 and visible(cache)[0].startswith("."), "it was killed before it was done"
    TestImages(Noise(), "b", processor())  # another set sweeps up too
    images = TestImages(Noise(), "a", processor())
    assert not [name for name in visible(cache) if name.startswith(".")] and len(visible(cache)) == 2
    expected = np.stack([shaped(image, processor()) for image in Noise().test_set("a")["image"]])
    assert np.array_equal(images.read(0, 600), expected)


def test_a_live_builders_folder_is_not_swept(cache):
    folder = cache / images_key("a 600 12", processor())
    cache.mkdir(parents=True)
    partial = cache / f".{folder.name}.abcdefgh"
    partial.mkdir()
    with module._locked(folder) as alone:
        assert alone
        TestImages(Noise(), "b", processor())
        assert partial.exists()
    TestImages(Noise(), "c", processor())
    assert not partial.exists()


@pytest.mark.parametrize("locks", [True, False])
def test_two_builders_at_once_make_one_set(cache, monkeypatch, locks):
    if locks:
        builders = [child(0.02) for _ in range(2)]
        for builder in builders:
            assert builder.stdout.readline() == "ready\n"
        for builder in builders:
            builder.stdin.write("\n")
            builder.stdin.flush()
        said = [builder.communicate()[0].splitlines() for builder in builders]
        assert said[0][-1] == said[1][-1] and said[0][-1].startswith("sum")
        assert sorted(map(len, said)) == [1, 20], "one makes it, the other waits"
    else:  # as on a file system without locks: the first to finish wins
        monkeypatch.setattr(module, "_lock", lambda file: None)
        real, depth = module.write_images, []

        def late(folder, *source):
            real(folder, *source)
            if not depth:
                depth.append(1)
                TestImages(Noise(), "a", processor())

        monkeypatch.setattr(module, "write_images", late)
        assert len(TestImages(Noise(), "a", processor()).read(0, 600)) == 600
    assert len(visible(cache)) == 1
