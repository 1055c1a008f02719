"""`cmm reproduce` killed at any moment and typed again: it goes on, and ends in the same bytes as if it had not been killed.

SIGKILL hits the command's process group, or with it the kernel and the workers at once; what is orphaned must end by
itself.  The suite runs a short version; a long one, with whatever `reproduce` is to be called with:
`python tests/experiments/test_resume.py --kills 20 -- --orders 1 --limit 20 --no-check`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

psutil = pytest.importorskip("psutil")  # comes with ipykernel

ROOT = Path(__file__).resolve().parents[2]
QUICK = ["--quick", "--orders", "1", "--limit", "10", "--no-check"]
ORPHANED = 60  # seconds after which an orphan must have ended; a kernel looks for its parent once a second


class Place(NamedTuple):
    """Where one series of commands keeps what it makes."""

    out: Path
    cache: Path
    log: Path


def start(arguments: list[str], place: Place) -> subprocess.Popen:
    environment = os.environ | {"CMMLIB_CACHE": str(place.cache), "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "cmmlib.cli", "reproduce", *arguments, "--out", str(place.out)]
    with open(place.log, "ab") as log:
        return subprocess.Popen(
            command, env=environment, start_new_session=True, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )


def to_the_end(arguments: list[str], place: Place) -> None:
    assert start(arguments, place).wait() == 0, place.log.read_text()[-3000:]


def alive(place: Place) -> list[psutil.Process]:
    """The command, its kernel, their workers, and what else inherited the cache that only they use."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("CMMLIB_CACHE") == str(place.cache) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:  # another user's, or gone
            continue
    return found


def kill(command: subprocess.Popen, place: Place, *, everything: bool) -> float:
    """SIGKILL to the command's group, or to all that belongs to it; gives the seconds until nothing of it was left."""
    others = alive(place) if everything else []
    os.killpg(command.pid, signal.SIGKILL)
    for process in others:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    command.wait()
    begin = time.monotonic()
    while left := alive(place):
        assert time.monotonic() < begin + ORPHANED, f"orphaned, and still at work: {[process.cmdline() for process in left]}"
        time.sleep(0.1)
    return time.monotonic() - begin


def count_scores(place: Place) -> int:
    path = place.cache / "results" / "mini.sqlite"
    if not path.exists():
        return 0
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)
        try:
            return connection.execute("SELECT count(*) FROM scores").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.OperationalError:  # its table is not there yet
        return 0


def outputs(out: Path) -> dict[str, Any]:
    """What lies under ``out``: bytes by path; notebooks parsed, without times and progress."""
    found = {}
    for path in sorted(out.rglob("*")):
        if path.is_file():
            found[str(path.relative_to(out))] = timeless(path) if path.match("[!.]*.ipynb") else path.read_bytes()
    return found


def timeless(path: Path) -> dict[str, Any]:
    notebook = json.loads(path.read_bytes())
    notebook["metadata"].pop("papermill")
    for cell in notebook["cells"]:
        for key in ("papermill", "execution"):
            cell["metadata"].pop(key, None)
        if "injected-parameters" in cell["metadata"].get("tags", []):
            cell.pop("id")  # papermill draws it
        if "run_grid(" in "".join(cell["source"]) and "import" not in "".join(cell["source"]):
            cell.pop("outputs")  # progress, and how long it will take
    return notebook


def moments(rng: random.Random, kills: int, scores: int, files: dict[str, bytes]) -> list[int | str]:
    """When to kill: half when so many scores are stored, from none on, then half when a file of the results is renewed.

    The first of these is the largest, which takes longest to write.
    """
    numbers = sorted([0, *(rng.randrange(1, scores) for _ in range(kills // 2 - 1))])
    largest = max(files, key=lambda name: len(files[name]))
    return [*numbers, largest, *rng.choices(list(files), k=kills - kills // 2 - 1)]


def resume(folder: Path, arguments: list[str], kills: int, seed: int = 0) -> None:
    """Run undisturbed, then from nothing with kills; compare."""
    out = folder / "figures"  # the same for both, as it stands in the notebooks
    undisturbed = Place(out, folder / "cache", folder / "log")
    begin = time.monotonic()
    to_the_end(arguments, undisturbed)
    print(f"undisturbed: {time.monotonic() - begin:.0f} s", flush=True)
    expected = outputs(out)
    out.rename(folder / "expected")
    scores = count_scores(undisturbed)
    files = {name: content for name, content in expected.items() if not name.endswith(".ipynb")}
    assert scores > 20 and len(files) > 5

    rng = random.Random(seed)
    place = Place(out, folder / "killed-cache", folder / "killed-log")
    for number, moment in enumerate(moments(rng, kills, scores, files)):
        begin = time.time_ns()
        command = start(arguments, place)

        def reached(moment=moment, begin=begin) -> bool:
            if isinstance(moment, int):
                return count_scores(place) >= moment
            return (out / moment).exists() and (out / moment).stat().st_mtime_ns > begin

        while command.poll() is None and not reached():
            time.sleep(0.02)
        if isinstance(moment, int):
            time.sleep(rng.uniform(0, 0.2 if moment else 5))  # a score is stored at no random moment; nor is a start one
        assert command.poll() is None, f"{moment!r} never came:\n{place.log.read_text()[-3000:]}"
        seconds = kill(command, place, everything=number % 2 == 0)
        there = {name: content for name, content in outputs(out).items() if not Path(name).name.startswith(".")}
        assert all(content == expected[name] for name, content in there.items()), "a part of a file has the file's name"
        done = f"{count_scores(place)} of {scores} scores, {len(there)} of {len(expected)} files"
        print(f"killed at {moment}: {done}; nothing ran any more after {seconds:.1f} s", flush=True)
    to_the_end(arguments, place)
    found = outputs(out)
    assert list(found) == list(expected), "something was left behind, or is missing"
    assert [name for name in expected if found[name] != expected[name]] == []
    assert count_scores(place) == scores


def test_killed_at_any_moment_the_same_command_ends_in_the_same_bytes(tmp_path: Path):
    resume(tmp_path, QUICK, kills=4)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("arguments", nargs="*", default=QUICK)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        resume(Path(place), options.arguments, options.kills)
    print(f"{options.kills} kills, and every byte is the same")
