"""Small files: what has a name is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmmlib.files import written_whole


def test_an_interrupted_write_leaves_nothing(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt), written_whole(tmp_path / "model") as temporary:
        (temporary / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
