"""Damaged checkpoints through the command: refused by a clear error, or read as the safetensors library reads them.

The suite runs a short version; ``make fuzz`` the long one: `python tests/merging/test_fuzz.py --count 2500 --processes 100`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from cmmlib import ContinualMerger
from cmmlib.cli.main import main
from tests.helpers.damaged import BASE, folders  # by its full name: this file is also run as a script
from tests.helpers.models import contents

SECONDS = 10  # that one file may take


def expected(folder: Path) -> dict[str, Tensor] | None:
    """What the safetensors library reads in the folder; None for an adapter or a ``.bin``."""
    try:
        shards = [load(file.read_bytes()) for file in folder.glob("model*.safetensors")]
        return {key: tensor for shard in shards for key, tensor in shard.items()} or None
    except SafetensorError as error:
        raise AssertionError(f"accepted what the safetensors library refuses: {error}") from None


def judge(code: int, out: str, err: str, folder: Path, state: Path, before: dict[str, bytes], start: Path) -> str:
    """ "refused" or "accepted"; an AssertionError for all that must not happen."""
    assert "Traceback" not in err + out, err
    if code == 2:
        assert re.search(r"cmm: .*damaged", err), err  # the file's folder is called so
        assert contents(state) == before, "a refusal changed the state"
        return "refused"
    assert code == 0, (code, err)
    tensors = expected(folder)
    if tensors is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged values that are implausibly large
            merged = ContinualMerger(start / "base.safetensors", "weight_average").add(tensors).merged()
        ours = ContinualMerger.load(state).merged()
        assert all(torch.equal(ours[key], merged[key]) for key in merged), "read otherwise than the safetensors library does"
    shutil.rmtree(state)
    shutil.copytree(start / "state", state)
    return "accepted"


def fuzz(count: int, seed: int, command: Callable[[list[str]], tuple[int, str, str]], root: Path) -> Counter[str]:
    save_file(BASE, root / "base.safetensors")
    ContinualMerger(root / "base.safetensors", "weight_average").save(root / "state")
    work = root / "work"
    shutil.copytree(root / "state", work)
    before, outcomes = contents(work), Counter()
    scratch = root / "scratch"
    scratch.mkdir()
    for number, folder in zip(range(count), folders(random.Random(seed), scratch), strict=False):
        try:
            outcomes[judge(*command(["add", str(work), str(folder)]), folder, work, before, root)] += 1
        except BaseException as error:
            kept = Path(tempfile.mkdtemp(prefix="fuzz-failure-"))
            shutil.copytree(folder, kept / "damaged")
            raise AssertionError(f"file {number} of seed {seed}, kept in {kept}: {type(error).__name__}: {error}") from error
    return outcomes


def in_process(arguments: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()

    def alarm(*_: object) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    previous = signal.signal(signal.SIGALRM, alarm)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(arguments)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    return code, out.getvalue(), err.getvalue()


def as_process(arguments: list[str]) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-m", "cmmlib.cli", *arguments], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def test_damaged_files_are_refused_or_read_right(tmp_path: Path):
    outcomes = fuzz(250, 0, in_process, tmp_path)
    assert outcomes["refused"] > 100 and outcomes["accepted"] > 5, outcomes


def test_a_hostile_header_cannot_make_it_allocate(tmp_path: Path):
    ContinualMerger(BASE, "weight_average").save(tmp_path / "state")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    hostile = [
        struct.pack("<Q", 2**40) + b"{}",
        struct.pack("<Q", 99_000_000) + b"[" * 99_000_000,  # a header within the format's own limit, and really there
        struct.pack("<Q", 70) + b'{"fc.weight":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}',
    ]
    for number, data in enumerate(hostile):
        (tmp_path / f"damaged{number}.safetensors").write_bytes(data)
        del data
        code, _, err = in_process(
            ["add", str(tmp_path / "state"), str(tmp_path / f"damaged{number}.safetensors"), "--base", "x"]
        )
        assert code == 2 and "Traceback" not in err
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB, the test's own 99 MB among them


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=2500)
    parser.add_argument("--processes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for count, command, what in (
        (options.count, in_process, "in one process"),
        (options.processes, as_process, "as processes"),
    ):
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory() as place:
            result = fuzz(count, options.seed + (command is as_process), command, Path(place))
        print(
            f"{count} damaged checkpoints {what}: {dict(result)}, {time.perf_counter() - begin:.0f} s, none failed",
            flush=True,
        )
    sys.exit(os.EX_OK)
