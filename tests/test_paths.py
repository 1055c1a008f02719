"""Where the cache lies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cmmlib import paths
from cmmlib.paths import cache_dir, require_writable_cache

ASK = [sys.executable, "-c", "from cmmlib.paths import cache_dir; print(cache_dir())"]


def test_a_relative_cache_is_the_same_folder_for_children_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CMMLIB_CACHE", "cache")
    assert cache_dir() == tmp_path / "cache"
    (tmp_path / "elsewhere").mkdir()
    done = subprocess.run(ASK, cwd=tmp_path / "elsewhere", capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == str(tmp_path / "cache")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert cache_dir() == tmp_path / "cache"


def test_the_environment_is_asked_every_time_and_left_alone_where_it_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CMMLIB_CACHE", str(tmp_path / "one"))
    assert cache_dir() == tmp_path / "one"
    monkeypatch.delenv("CMMLIB_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "cmmlib" and "CMMLIB_CACHE" not in os.environ


def test_a_home_that_cannot_be_written_is_an_error_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("CMMLIB_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    with pytest.raises(OSError, match="set CMMLIB_CACHE to a folder that can be written"):
        cache_dir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("os.access", lambda *_: False)  # a read-only one, even for root
    with pytest.raises(OSError, match="set CMMLIB_CACHE"):
        require_writable_cache()


def test_results_go_to_the_clones_figures_or_to_the_working_directorys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert paths.figures_dir("mini") == Path(paths.__file__).parents[1] / "figures" / "mini"
    monkeypatch.setattr(paths, "_PACKAGE", tmp_path / "site-packages" / "cmmlib")
    assert paths.figures_dir() == tmp_path / "figures"
