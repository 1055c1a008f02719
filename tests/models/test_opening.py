"""What is no model at all is said, and said without asking a hub."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cmmlib import ContinualMerger
from cmmlib.models import open_model


@pytest.mark.parametrize(
    "name", ["lost", "../lost", "./lost", "a/b/c", "/no/such/folder", "a..b/c", "-a/b", "модель/b", "a/b.git", ""]
)
def test_what_is_neither_path_nor_hub_id_is_said_without_a_request(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("connects"))
    with pytest.raises(FileNotFoundError, match="not a hub id of the form owner/name" if name else "holds no model"):
        open_model(name)


@pytest.mark.parametrize("thing", [None, 3, [torch.zeros(2)], b"path"])
def test_what_is_no_model_is_refused(thing: object, toy: tuple):
    with pytest.raises(TypeError, match=r"expected a folder, a \.safetensors file, a hub id, an nn.Module or a mapping"):
        ContinualMerger(toy[0], "magmax").add(thing)


def test_a_missing_model_is_named(toy: tuple, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"lost\.safetensors: no such file or folder, and not a hub id"):
        ContinualMerger(toy[0], "magmax").add(tmp_path / "lost.safetensors")
