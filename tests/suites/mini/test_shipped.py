"""The zoo that ships."""

from __future__ import annotations

from cmmlib.suites.mini.shipped import ZOO


def test_the_zoo_is_small():
    assert sum(path.stat().st_size for path in ZOO.rglob("*") if path.is_file()) <= 60e6
