"""Locks on files: exclusive among threads and processes, and gone with the process that held them."""

from __future__ import annotations

import errno
import fcntl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from cmmlib.locks import Timeout, file_lock

HOLDER = """
import sys, time
from pathlib import Path
from cmmlib.locks import file_lock
with file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until its input ends."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_second_taker_gets_a_timeout_until_the_first_has_let_go(tmp_path: Path):
    path = tmp_path / "lock"
    with file_lock(path, timeout=0):
        with pytest.raises(Timeout), file_lock(path, timeout=0):
            pytest.fail("two hold it")
        with ThreadPoolExecutor(1) as pool, pytest.raises(Timeout):
            pool.submit(file_lock(path, timeout=0).acquire).result()
    with file_lock(path, timeout=0) as lock:
        assert lock.is_locked
    assert path.exists()


def test_a_taker_waits_as_long_as_it_says_or_for_ever(tmp_path: Path):
    held, waiting = file_lock(tmp_path / "lock"), file_lock(tmp_path / "lock")
    held.acquire()
    begin = time.perf_counter()
    with pytest.raises(Timeout):
        file_lock(tmp_path / "lock", timeout=0.2).acquire()
    assert time.perf_counter() - begin >= 0.2
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(waiting.acquire)
        try:
            with pytest.raises(TimeoutError):
                taken.result(0.3)
        finally:
            held.release()
        taken.result(60)
    assert waiting.is_locked
    waiting.release()  # in another thread than it was taken in
    assert not waiting.is_locked


def test_another_process_keeps_it_until_it_ends(tmp_path: Path):
    path = tmp_path / "lock"
    with holder(path) as process:
        with pytest.raises(Timeout):
            file_lock(path, timeout=0).acquire()
        process.communicate()
    with file_lock(path, timeout=0):
        pass


def test_a_process_that_is_killed_leaves_it_free(tmp_path: Path):
    path = tmp_path / "lock"
    with holder(path) as process:
        with pytest.raises(Timeout):
            file_lock(path, timeout=0).acquire()
        process.kill()
        assert process.wait() < 0
        with file_lock(path, timeout=0) as lock:
            assert lock.is_locked


def test_a_file_system_without_locks_is_an_error_and_nothing_stays_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "lock"

    def without(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    lock = file_lock(path, timeout=0)
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", without)
        with pytest.raises(OSError) as error:
            lock.acquire()
        assert not isinstance(error.value, Timeout) and not lock.is_locked
        with pytest.raises(OSError) as again:  # nor is a file in its place in the next one's way
            file_lock(path, timeout=0).acquire()
        assert not isinstance(again.value, Timeout)
    with file_lock(path, timeout=0), pytest.raises(Timeout):
        lock.acquire()
