"""Small files: what has a name is whole."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path

import pytest

from cmmlib.files import read_json, sweep_leftovers, sync_folder, write_flushed, written_whole


def test_an_interrupted_write_leaves_nothing(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt), written_whole(tmp_path / "model") as temporary:
        (temporary / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_swept(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt), written_whole(tmp_path / "model") as temporary:
        os.rename(temporary, kept := tmp_path / "kept")
        raise KeyboardInterrupt
    kept.rename(temporary)
    (tmp_path / ".model.mine").mkdir()
    sweep_leftovers(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == [".model.mine"]


@pytest.mark.parametrize(("code", "tolerated"), [(errno.EINVAL, True), (errno.ENOTSUP, True), (errno.EIO, False)])
def test_a_file_system_that_cannot_flush_folders_is_tolerated_a_failing_disk_is_not(
    code: int, tolerated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(_: int) -> None:
        raise OSError(code, "as the file system says")

    monkeypatch.setattr("os.fsync", fail)
    with contextlib.nullcontext() if tolerated else pytest.raises(OSError):
        sync_folder(tmp_path)


def test_a_link_to_an_empty_folder_stays_a_link(tmp_path: Path):
    (tmp_path / "disk" / "real").mkdir(parents=True)
    (tmp_path / "disk" / ".real.12345678").mkdir()  # what a killed process left
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "disk" / "real")
    sweep_leftovers(link)
    with written_whole(link) as temporary:
        assert temporary.parent == tmp_path / "disk"
        (temporary / "model").write_bytes(b"whole")
    assert link.is_symlink() and (link / "model").read_bytes() == b"whole"
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["real"]


def test_bytes_of_a_path_that_are_no_text_survive_in_json(tmp_path: Path):
    name = os.fsdecode(b"caf\xe9")
    write_flushed(tmp_path / "a.json", json.dumps({"path": name, "text": "é"}, ensure_ascii=False))
    assert read_json(tmp_path / "a.json") == {"path": name, "text": "é"}
    assert (tmp_path / "a.json").read_text("utf-8")
