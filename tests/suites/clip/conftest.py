"""A hub with the stand-in, and a data set of one's own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ...helpers.hub import Hub, running


@pytest.fixture(scope="module")
def hub(clip_folder: Path) -> Iterator[Hub]:
    with running() as server:
        server.serve_folder(clip_folder)
        yield server


@pytest.fixture
def folder(clip_folder: Path, tmp_path: Path) -> Path:
    """A data_dir of one's own with DTD."""
    shutil.copytree(clip_folder / "datasets" / "tanganke" / "dtd", tmp_path / "data" / "tanganke" / "dtd")
    return tmp_path / "data"
