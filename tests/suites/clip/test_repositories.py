"""Repositories keep to their pins, in folders and on other machines."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from cmmlib.suites import load_suite
from cmmlib.suites.clip import repositories
from cmmlib.suites.clip.repositories import Repositories


def test_a_folder_that_changes_is_refused_until_its_pin_is_removed(folder: Path, cache: Path):
    suite = load_suite("clip", data_dir=folder)
    key = suite.test_set_key("dtd")
    file = folder / "tanganke" / "dtd" / "data" / "test-00000-of-00001.parquet"
    content = file.read_bytes()
    file.write_bytes(content)  # the same again, at another time
    assert suite.test_set_key("dtd") == key
    file.write_bytes(content + b" ")
    with pytest.raises(
        ValueError, match=r"tanganke/dtd has changed since .*another CMMLIB_CACHE, or remove .*revisions\.json"
    ):
        suite.test_set("dtd")
    (cache / "clip" / "revisions.json").write_text("{}")
    assert suite.test_set_key("dtd") != key


def test_a_folder_is_hashed_once(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    suite = load_suite("clip", data_dir=folder)
    key = suite.test_set_key("dtd")
    monkeypatch.setattr(repositories, "sha256", lambda: pytest.fail("hashes again"))
    assert suite.test_set_key("dtd") == key


def test_what_a_folder_lacks_is_named_and_not_downloaded(folder: Path, cache: Path, tmp_path: Path):
    suite = load_suite("clip", data_dir=folder, models_dir=folder)
    with pytest.raises(FileNotFoundError, match=r"data_dir=.* holds no ylecun/mnist: no folder .*/data/ylecun/mnist\. "):
        suite.test_set("mnist")
    with pytest.raises(FileNotFoundError, match=r"models_dir=.* holds no openai/clip-vit-base-patch32: no folder"):
        suite.base("ViT-B/32")
    with pytest.raises(FileNotFoundError, match=r"data_dir: no folder .*lost"):
        load_suite("clip", data_dir=tmp_path / "lost")


def test_a_suite_that_is_sent_to_another_machine_asks_for_the_same_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    at = {"here": "a" * 40, "there": "b" * 40}
    where = "here"
    monkeypatch.setattr("cmmlib.models.hub.listing", lambda *_: (at[where], ["model.safetensors"]))
    monkeypatch.setenv("CMMLIB_CACHE", str(tmp_path / where))
    here = Repositories()
    assert here.revision("models", "owner/one", []) == at["here"]
    sent = pickle.dumps(here)
    where = "there"
    monkeypatch.setenv("CMMLIB_CACHE", str(tmp_path / where))
    there = pickle.loads(sent)
    assert there.revision("models", "owner/one", []) == at["here"]
    assert there.names("models", "owner/one") == ["model.safetensors"]
    assert there.revision("models", "owner/two", []) == at["there"]
