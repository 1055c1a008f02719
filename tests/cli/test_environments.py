"""``cmm`` where encodings, file systems, paths and home folders are not what they usually are."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cmmlib.cli import main

GOLDEN = Path(__file__).parents[1] / "golden"
BASE, TASK = str(GOLDEN / "base.safetensors"), str(GOLDEN / "task0.safetensors")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    assert main(["start", str(tmp_path / "state"), "--base", BASE]) == 0
    return tmp_path / "state"


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr("fcntl.flock", fail)


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1"])
def test_add_and_status_print_what_the_encoding_holds(encoding: str, state: Path, monkeypatch: pytest.MonkeyPatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    assert main(["add", str(state), TASK, "--name", "tâche"]) == 0
    assert main(["status", str(state)]) == 0
    assert main(["status", str(state), "--json"]) == 0
    text, table, answer = written.getvalue().decode(encoding).partition("{")
    assert "merged model 1, 't" in text and "??? = " in text
    assert json.loads(table + answer)["models"][0]["name"] == "tâche"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("sink", "code", "said"), [("| true", 141, ""), ("> /dev/full", 5, "cmm: done, but the answer cannot be written")]
)
def test_an_answer_that_nobody_takes_is_no_traceback(sink: str, code: int, said: str, state: Path):
    line = f"set -o pipefail; '{sys.executable}' -m cmmlib.cli status '{state}' {sink}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60)
    assert done.returncode == code and done.stderr.startswith(said) and done.stderr.count("\n") == bool(said)


def test_a_failed_answer_leaves_what_was_committed(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Full())
        assert main(["add", str(state), TASK]) == 5
    assert "done, but the answer" in capsys.readouterr().err
    assert len(json.loads((state / "state.json").read_text())["models"]) == 1


def test_without_locks_a_state_is_refused_with_a_way_out(no_locks: None, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert main(["start", str(tmp_path / "state"), "--base", BASE]) == 4
    said = capsys.readouterr().err
    assert str(tmp_path / "state" / "lock") in said and "no locks" in said and "`cmm merge`" in said
    assert list(tmp_path.iterdir()) == []


def test_without_locks_a_merge_in_one_go_works(no_locks: None, tmp_path: Path):
    assert main(["merge", "--base", BASE, "--out", str(tmp_path / "out"), TASK]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_folders_that_cannot_be_flushed_are_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr("os.fsync", fsync)
    state = str(tmp_path / "state")
    assert main(["start", state, "--base", BASE]) == 0
    assert main(["add", state, TASK]) == 0
    assert main(["export", state, str(tmp_path / "out")]) == 0


@pytest.mark.parametrize("name", ["run {lr=1} of {}", os.fsdecode(b"caf\xe9 \xff")], ids=["braces", "bytes"])
def test_any_path_will_do(name: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    folder = tmp_path / name
    (folder / "base").mkdir(parents=True)
    for file in ("base.safetensors", "config.json"):
        (folder / "base" / file.replace("base.", "model.")).write_bytes((GOLDEN / file).read_bytes())
    model = folder / f"{name}.safetensors"
    model.write_bytes(Path(TASK).read_bytes())
    state, out = str(folder / "state"), str(folder / name)
    assert main(["start", state, "--base", str(folder / "base")]) == 0
    assert main(["add", state, str(model)]) == 0
    assert main(["status", state]) == 0
    capsys.readouterr()
    assert main(["status", state, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["base"]["source"] == str(folder / "base")
    assert main(["export", state, out]) == 0
    assert main(["merge", "--base", str(folder / "base"), "--out", f"{out} 2", str(model)]) == 0


def test_links_to_folders_work_and_keep_their_names(tmp_path: Path, capsys: pytest.CaptureFixture):
    for name in ("state", "out"):
        (tmp_path / f"real-{name}").mkdir()
        (tmp_path / name).symlink_to(f"real-{name}")
    state, out = str(tmp_path / "state"), str(tmp_path / "out")
    assert main(["start", state, "--base", BASE]) == 0
    assert main(["add", state, TASK]) == 0
    assert main(["export", state, out]) == 0
    assert main(["export", state, out]) == 2
    said = "".join(capsys.readouterr())
    assert f"{out} exists and is not empty" in said and "real-" not in said
    assert (tmp_path / "out").is_symlink() and (tmp_path / "real-out" / "model.safetensors").exists()


def test_only_what_needs_the_cache_asks_for_a_home(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setenv("HOME", "/dev/null/home")
    monkeypatch.delenv("CMMLIB_CACHE", raising=False)
    assert main(["add", str(state), TASK]) == main(["status", str(state)]) == 0
    assert main(["merge", "--base", BASE, "--out", str(tmp_path / "merged"), TASK]) == 0
    capsys.readouterr()
    assert main(["reproduce", "--out", str(tmp_path / "figures")]) == 4
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "set CMMLIB_CACHE" in said and not (tmp_path / "figures").exists()
    assert main(["reproduce", "--out", os.fsdecode(bytes(tmp_path) + b"/\xff")]) == 2
    assert "--out" in (said := capsys.readouterr().err) and "not UTF-8" in said
