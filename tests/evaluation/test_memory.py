"""Free memory."""

from __future__ import annotations

from cmmlib.evaluation.memory import available_memory


def test_the_system_says_how_much_memory_is_free():
    assert available_memory() > 1 << 20
