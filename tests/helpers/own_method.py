"""A file with a method of the user's, as a test writes it."""

from __future__ import annotations

from pathlib import Path

FADING = '''\
import cmmlib


@cmmlib.method(paper="https://example.org/yours")
def fading(merged, task_vector, ctx, *, fade: float = 0.5):
    """Like the weight average, but the newest model always weighs `fade`."""
    return task_vector if ctx.t == 1 else merged + fade * (task_vector - merged)
'''


def write_fading(folder: Path, name: str = "my_methods.py", *, text: str = FADING) -> str:
    """Write it, and give the method's name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return f"{folder / name}:fading"
