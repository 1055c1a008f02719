"""Seconds and memory of a piece of work."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from cmmlib.bench import timing


def test_seconds_are_those_of_the_work():
    assert 0.02 <= timing.seconds(lambda: time.sleep(0.02)) < 1


def test_memory_that_is_given_back_counts_at_its_highest():
    found = timing.peak_mib(lambda: np.ones(50 * timing.MIB, dtype=np.uint8))
    assert math.isnan(found) or 49 <= found < 70
    if not math.isnan(found):
        assert timing.peak_mib(lambda: None) < 20
        assert timing.resident("VmHWM") >= timing.resident("VmRSS") > 0


def test_all_are_prepared_and_done_in_turn_and_only_the_work_is_timed():
    log: list[str] = []

    def prepare(name: str) -> timing.Prepare:
        def prepared() -> timing.Work:
            log.append(f"prepare {name}")
            time.sleep(0.02)
            return lambda: log.append(name)

        return prepared

    times = timing.in_turn({"a": prepare("a"), "b": prepare("b")}, rounds=2)
    assert log == ["prepare a", "a", "prepare b", "b"] * 2
    assert [len(found) for found in times.values()] == [2, 2] and max(times["a"] + times["b"]) < 0.02


def test_the_first_round_measures_memory_and_the_others_time():
    seconds = iter([0.2, 0.0, 0.05, 0.0])
    found = timing.measured({"work": lambda: lambda: time.sleep(next(seconds))}, rounds=3)
    assert found["work"].seconds < 0.05 and next(seconds, None) is None
    assert found["work"].mib == pytest.approx(0, abs=20, nan_ok=True)
