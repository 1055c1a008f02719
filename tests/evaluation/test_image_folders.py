"""One of several processes makes the folder of a test set; a kill leaves nothing that stays, and no lock."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from cmmlib.evaluation import image_folders, image_store
from cmmlib.evaluation.image_files import images_key
from cmmlib.evaluation.image_store import TestImages
from cmmlib.evaluation.preprocessing import shaped
from cmmlib.locks import file_lock

from .noise import Noise, processor, visible

pytestmark = pytest.mark.usefixtures("cache")

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import sys, time
sys.path.insert(0, sys.argv[1])
from cmmlib.evaluation import image_files
from cmmlib.evaluation.image_store import TestImages
from tests.evaluation.noise import Noise, processor

prepared = image_files.prepared
def slow(*given):
    for number, chunk in enumerate(prepared(*given)):
        yield chunk
        print(number, flush=True)
        time.sleep(float(sys.argv[2]))
image_files.prepared = slow
print("ready", flush=True)
sys.stdin.readline()
found = TestImages(Noise(), "a", processor(), workers=2)
print("sum", int(found.read(0, 600).sum()), flush=True)
"""


def no_locks(*_: object) -> None:
    """A file system that has none."""
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


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
    with file_lock(cache / f".{folder.name}.lock"):
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
        monkeypatch.setattr("fcntl.flock", no_locks)
        real, depth = image_store.write_images, []

        def late(folder, *source):
            real(folder, *source)
            if not depth:
                depth.append(1)
                TestImages(Noise(), "a", processor())

        monkeypatch.setattr(image_store, "write_images", late)
        assert len(TestImages(Noise(), "a", processor()).read(0, 600)) == 600
    assert len(visible(cache)) == 1


def test_who_waits_for_long_says_what_for(cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(image_folders, "PATIENCE", 0.1)
    folder = cache / images_key("a 600 12", processor())
    cache.mkdir(parents=True)
    held = threading.Event()

    def other() -> None:
        with file_lock(cache / f".{folder.name}.lock"):
            held.set()
            time.sleep(0.5)

    thread = threading.Thread(target=other)
    thread.start()
    assert held.wait(10)
    TestImages(Noise(), "a", processor())
    thread.join()
    assert capsys.readouterr().err == f"waiting for another process that prepares {folder}\n"
