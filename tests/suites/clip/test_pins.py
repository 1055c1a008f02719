"""Pinned revisions."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cmmlib.suites import load_suite
from cmmlib.suites.clip.pins import pins_path, write_pin


def test_pins_written_at_the_same_time_are_all_kept(cache: Path):
    def pin(i: int) -> dict:
        return write_pin(f"models/lab/{i // 2}", lambda first: first or {"revision": f"by {i}"})

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(pin, range(16)))
    assert all(made[i] == made[i + 1] for i in range(0, 16, 2))
    assert len(json.loads(pins_path().read_text())) == 8


def test_damaged_pins_are_named(clip_folder: Path, cache: Path):
    (cache / "clip").mkdir(parents=True)
    (cache / "clip" / "revisions.json").write_text('{"models/a/b": 1}')
    with pytest.raises(ValueError, match=r"revisions\.json is damaged: remove it"):
        load_suite("clip", data_dir=clip_folder / "datasets").test_set("dtd")
