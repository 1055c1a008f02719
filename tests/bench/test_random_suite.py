"""The suite of random images can be scored, and so can be compared."""

from __future__ import annotations

import pytest

from cmmlib.bench.random_suite import TASK, RandomSuite
from cmmlib.bench.scoring import bench_reading, compared
from cmmlib.evaluation import ZeroShotScorer
from cmmlib.suites.mini.suite import MiniSuite


@pytest.fixture
def suite(monkeypatch, tmp_path) -> RandomSuite:
    monkeypatch.setenv("CMMLIB_CACHE", str(tmp_path))
    mini = MiniSuite()
    return RandomSuite("random", mini.base(mini.backbones[0]), 6, 36, 36, "PNG")


def test_random_images_are_scored(suite: RandomSuite):
    score = ZeroShotScorer(suite, "random").score(None, [TASK.name])[TASK.name]
    assert score.images == 6 and 0 <= score.correct <= 6


def test_reading_is_measured(suite: RandomSuite):
    rows = bench_reading(suite, rounds=1)
    assert len(rows) == 3 and all(float(row[1]) > 0 for row in rows) and rows[0][2] == "1.00"


def test_ratios_are_to_the_first_and_a_round_before_does_not_count():
    calls: list[str] = []
    medians, ratios = compared({name: lambda name=name: calls.append(name) for name in "ab"}, rounds=2)
    assert calls == ["a", "b"] * 3 and set(medians) == {"a", "b"} and ratios["a"] == 1
