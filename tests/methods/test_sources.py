"""Scores of one version of a method are not taken for those of another: what it uses counts, wherever it stands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MAIN = """
import torch
import cmmlib
from cmmlib.methods import get_method
import {imported}
SCALE = {scale}

def helper(x):
    '''a docstring'''
    return x * SCALE * {imported}.factor({argument})

@cmmlib.method
def mine(merged, task_vector, ctx):
    return merged + helper(task_vector)

print(get_method("mine").source_hash)
"""
LIBRARY = "import torch\nFACTOR = {factor}\ndef factor(x):\n    # {comment}\n    return FACTOR * x\n"


def source_hash(folder: Path, *, scale: float = 0.3, factor: float = 2, argument: float = 1, comment: str = "") -> str:
    """Of a method in a script, with a helper and a constant there and a module beside it."""
    folder.mkdir(exist_ok=True)
    (folder / "userlib.py").write_text(LIBRARY.format(factor=factor, comment=comment))
    (folder / "main.py").write_text(MAIN.format(imported="userlib", scale=scale, argument=argument))
    command = [sys.executable, "-B", str(folder / "main.py")]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout.strip()


def test_helpers_constants_and_modules_of_the_users_count(tmp_path: Path):
    first = source_hash(tmp_path)
    assert len(first) == 16 and source_hash(tmp_path) == first
    changed = [source_hash(tmp_path, **change) for change in ({"scale": 0.01}, {"factor": 3}, {"argument": 5})]
    assert len({first, *changed}) == 4


@pytest.mark.parametrize("comment", ["another comment"])
def test_comments_do_not_count(comment: str, tmp_path: Path):
    assert source_hash(tmp_path, comment=comment) == source_hash(tmp_path)
