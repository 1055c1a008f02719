"""Small files: what has a name is whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cmmlib.files import sweep_leftovers, written_whole


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
