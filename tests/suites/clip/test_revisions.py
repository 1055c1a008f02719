"""Revisions that are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmmlib.suites import load_suite
from cmmlib.suites.clip.repositories import Repositories


@pytest.mark.parametrize("given", ['{"a/b": 1}', "[1]", "{", '{"a/b": {"files": []}}'])
def test_bad_revisions_are_named(given: str, tmp_path: Path):
    (tmp_path / "mine.json").write_text(given)
    with pytest.raises(ValueError, match=r"revisions=.*mine\.json"):
        load_suite("clip", revisions=tmp_path / "mine.json")


def test_a_runs_sources_are_revisions(tmp_path: Path):
    path = tmp_path / "sources.csv"
    path.write_text("kind,id,place,revision\ndataset,ylecun/mnist,hub,abc\nmodel,openai/x,/local,sha256:123\n")
    assert Repositories(revisions=path).asked == {"datasets/ylecun/mnist": "abc"}  # a local folder's says nothing of a hub
    path.write_text("id,revision\nylecun/mnist,abc\n")
    with pytest.raises(ValueError, match=r"revisions=.*sources\.csv.*kind"):
        Repositories(revisions=path)
