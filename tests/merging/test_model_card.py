"""The model card of an export."""

from __future__ import annotations

from pathlib import Path

from cmmlib import ContinualMerger


def test_names_do_not_break_the_card(whole_folders: tuple, tmp_path: Path):
    merger = ContinualMerger(whole_folders[0], "weight_average").add(whole_folders[1][0], name="a|b\n---\n<script>`x`")
    card = (merger.export(tmp_path / "out") / "README.md").read_text()
    assert card.count("\n---\n") == 1 and "<script>" not in card.replace("\\<", "") and "a\\|b" in card
