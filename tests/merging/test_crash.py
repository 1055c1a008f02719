"""Killed or failing at any moment: the state stands as before or as after, and the work ends in the same bits.

A warm parent forks a child that runs `add`, `export` and a merge in one pass; SIGKILL comes at a moment uniform between
the child's first and last write.  And every fsync and rename fails once.  The suite runs a short version; ``make crash``
the long one: `python tests/merging/test_crash.py --kills 200 --megabytes 50`.  SIGKILL does not prove that a power failure
is survived: what was written is then still in the kernel's hands.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cmmlib import ContinualMerger, merge_to
from cmmlib.models import safetensors_writer
from cmmlib.models.safetensors_writer import Writer, header_room


def prepare(root: Path, megabytes: float) -> None:
    """A base, two models, a state into which the first has been merged, each of ``megabytes``; and the end of it all."""
    torch.manual_seed(0)
    rows = int(megabytes * 1e6 / 4 / 4 / 512)
    shapes = {f"block.{i}.weight": (rows, 512) for i in range(4)} | {"fc.weight": (64, 96), "fc.bias": (64,)}
    base = {name: torch.randn(shape) for name, shape in shapes.items()}
    for number, file in enumerate(("base", "first", "second")):
        with Writer(root / f"{file}.safetensors", room=header_room(list(shapes))) as writer:
            for name, tensor in base.items():
                writer.put(name, tensor + 0.01 * number * torch.randn(tensor.shape))
    merger = ContinualMerger(root / "base.safetensors", "opcm", linear=["fc.weight"])
    merger.add(root / "first.safetensors").save(root / "state")
    shutil.copytree(root / "state", root / "reference")
    work(root, root / "reference", root / "reference-out")


def work(root: Path, state: Path, out: Path) -> None:
    """What is interrupted: idempotent, as a user would type it again."""
    merger = ContinualMerger.load(state)
    if len(merger) == 1:
        merger.add(root / "second.safetensors")
    if not out.exists():
        merger.export(out, max_shard_bytes=20_000_000)
    merged = out.with_name(out.name + "-merged")
    if not merged.exists():  # in one pass, with too little memory for what is scaled at the end
        files = [root / "first.safetensors", root / "second.safetensors"]
        merge_to(merged, root / "base.safetensors", files, method="opcm", linear=["fc.weight"], memory=1 << 20)


def check(root: Path, state: Path, out: Path) -> str:
    """Open what is left, finish the work, compare with the uninterrupted result; gives how far it had got."""
    merger = ContinualMerger.load(state)
    reached = "exported" if out.exists() else f"{len(merger)} merged"
    reached = "merged in one pass" if out.with_name(out.name + "-merged").exists() else reached
    running = "running-1.safetensors" if len(merger) == 1 else "running-2.safetensors"
    assert {path.name for path in state.iterdir()} == {"lock", "state.json", running}, "leftovers were not swept"
    reference = root / ("state" if len(merger) == 1 else "reference")
    assert filecmp.cmp(state / running, reference / running, shallow=False), "the state is neither the old nor the new one"
    work(root, state, out)
    assert filecmp.cmp(state / "running-2.safetensors", root / "reference" / "running-2.safetensors", shallow=False)
    names = sorted(path.name for path in out.iterdir())
    assert names == sorted(path.name for path in (root / "reference-out").iterdir())
    for name in names:
        if name != "README.md":  # which says when each model was merged
            assert filecmp.cmp(out / name, root / "reference-out" / name, shallow=False), name
    merged = out.with_name(out.name + "-merged")
    weights = "model.safetensors"
    assert filecmp.cmp(merged / weights, root / "reference-out-merged" / weights, shallow=False), "merged in one pass"
    left = [path for path in out.parent.iterdir() if path not in (state, out, merged)]
    assert left == [], "an export or a merge left something behind"
    return reached


def child(root: Path, state: Path, out: Path, pipe: int) -> None:
    """Runs in a fork: says when it writes first, and how long after that it wrote last."""
    torch.set_num_threads(1)  # of the parent's other threads, a fork has none, and would wait for them for ever
    first, last = 0.0, 0.0
    write, replace = safetensors_writer.write_some, os.replace

    def note() -> None:
        nonlocal first, last
        last = time.perf_counter()
        if not first:
            first = last
            os.write(pipe, b"x")

    def noted(function: Callable) -> Callable:
        def wrapped(*arguments: object) -> object:
            note()
            result = function(*arguments)
            note()
            return result

        return wrapped

    safetensors_writer.write_some, os.replace = noted(write), noted(replace)
    code = 1
    try:
        work(root, state, out)
        os.write(pipe, repr(last - first).encode())
        code = 0
    finally:
        os._exit(code)


def run_child(root: Path, here: Path, kill_after: float | None) -> float | None:
    """Fork a child into ``here`` and kill it so long after its first write.

    Gives the seconds between its first and last write if it got so far, None if it was killed.
    """
    read, written = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        child(root, here / "state", here / "out", written)
    os.close(written)
    try:
        assert os.read(read, 1) == b"x", "the child failed before it wrote"
        if kill_after is not None:
            end = time.perf_counter() + kill_after
            while time.perf_counter() < end:  # finer than sleep
                time.sleep(min(0.0005, max(0.0, end - time.perf_counter())))
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            return None
        assert status == 0, "the child failed"
        return float(os.read(read, 100))
    finally:
        os.close(read)


def fresh(root: Path) -> Path:
    here = root / "here"
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir()
    shutil.copytree(root / "state", here / "state")
    return here


def kills(root: Path, count: int, seed: int = 0) -> Counter[str]:
    """How far the work had got, over ``count`` kills that hit."""
    durations = sorted(run_child(root, fresh(root), None) for _ in range(3))
    rng, reached = random.Random(seed), Counter()
    while reached.total() < count:
        here = fresh(root)
        if run_child(root, here, rng.uniform(0, durations[1])) is None:  # else it was done before the moment came
            reached[check(root, here / "state", here / "out")] += 1
    return reached


def faults(root: Path) -> Counter[str]:
    """Every fsync and every rename fails once, as does every moment right after one."""
    reached: Counter[str] = Counter()
    for after in (False, True):
        for call in ("fsync", "replace"):
            number = 0
            while True:
                here, real, seen = fresh(root), getattr(os, call), 0

                def failing(*arguments: object, real=real, number=number, after=after) -> object:
                    nonlocal seen
                    seen += 1
                    if seen == number + 1 and not after:
                        raise OSError(5, "Input/output error")
                    result = real(*arguments)
                    if seen == number + 1:
                        raise OSError(5, "Input/output error")
                    return result

                setattr(os, call, failing)
                try:
                    work(root, here / "state", here / "out")
                    done = True
                except OSError:
                    done = False
                finally:
                    setattr(os, call, real)
                if done:
                    break
                reached[f"{call} {'after' if after else 'before'}"] += 1
                check(root, here / "state", here / "out")
                number += 1
    return reached


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crash")
    prepare(folder, 2)
    return folder


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_killed_at_any_moment_the_work_can_be_finished(root: Path):
    assert kills(root, 12).total() == 12


def test_every_fsync_and_rename_may_fail(root: Path):
    reached = faults(root)
    assert reached["fsync before"] >= 8 and reached["replace before"] >= 4, reached


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--megabytes", type=float, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        begin = time.perf_counter()
        prepare(Path(place), options.megabytes)
        size = (Path(place) / "state" / "running-1.safetensors").stat().st_size / 1e6
        print(f"{size:.0f} MB: faults injected {dict(faults(Path(place)))}, all survived", flush=True)
        print(f"{options.kills} kills, which left: {dict(kills(Path(place), options.kills))}; each was finished bit for bit")
        print(f"{time.perf_counter() - begin:.0f} s")
    sys.exit(os.EX_OK)
