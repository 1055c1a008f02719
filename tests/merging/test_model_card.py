"""The model card of an export."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmmlib import ContinualMerger
from cmmlib.merging.model_card import shown

pytestmark = pytest.mark.filterwarnings("ignore:custom code of")  # the base holds some


def test_names_do_not_break_the_card(whole_folders: tuple, tmp_path: Path):
    merger = ContinualMerger(whole_folders[0], "weight_average").add(whole_folders[1][0], name="a|b\n---\n<script>`x`")
    card = (merger.export(tmp_path / "out") / "README.md").read_text()
    assert card.count("\n---\n") == 1 and "<script>" not in card.replace("\\<", "") and "a\\|b" in card


def test_the_card_tells_names_and_not_where_the_user_keeps_them(whole_folders: tuple, tmp_path: Path):
    base, models = whole_folders
    merger = ContinualMerger(base, "weight_average").add(models[0] / "model.safetensors", name="first").add(models[1])
    merger.save(tmp_path / "state")
    for kind, one in (("memory", merger), ("folder", ContinualMerger.load(tmp_path / "state"))):
        card = (one.export(tmp_path / kind) / "README.md").read_text()
        assert str(base.parent) not in card and "* Base: base, content hash" in card
        assert "| first | one |" in card and "| two | two |" in card
    assert str(base) in (tmp_path / "state" / "state.json").read_text()


@pytest.mark.parametrize(
    ("source", "revision", "shown_as"),
    [
        ("lab/one", "0123", "lab/one"),
        ("/home/me/one", None, "one"),
        ("/home/me/one/model.safetensors", None, "one"),
        ("/home/me/tuned.safetensors", None, "tuned.safetensors"),
        ("/home/me/one", "0123", "one"),
        (None, None, None),
    ],
)
def test_hub_ids_stay_and_paths_become_names(source: str | None, revision: str | None, shown_as: str | None):
    assert shown(source, revision) == shown_as
