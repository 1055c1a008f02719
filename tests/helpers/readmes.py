"""The parts of the READMEs that can be checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
READMES = sorted(
    path
    for folder in (ROOT, ROOT / "cmmlib", ROOT / "figures")
    for path in (folder.glob("README.md") if folder == ROOT else folder.rglob("README.md"))
)


class Block(NamedTuple):
    """A fenced block: its language ("" if none is named) and its text."""

    language: str
    text: str


def blocks(readme: Path) -> list[Block]:
    """The fenced blocks of a README."""
    return [Block(*found) for found in re.findall(r"^```(\w*)\n(.*?)^```$", readme.read_text(), re.M | re.S)]


def prose(readme: Path) -> str:
    """A README without its fenced blocks."""
    return re.sub(r"^```\w*\n.*?^```$", "", readme.read_text(), flags=re.M | re.S)


def inline_code(readme: Path) -> list[str]:
    """The text between single backticks outside fenced blocks."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose(readme))


def commands(readme: Path) -> list[str]:
    """Command lines, from blocks in shell or without a language and from inline code."""
    lines = [line for block in blocks(readme) if block.language in ("", "bash", "sh") for line in block.text.splitlines()]
    starts = ("make ", "cmm ", "python -m cmmlib", "papermill ", "pytest ", "cmm\n")
    found = [line.split("#")[0].strip() for line in [*lines, *inline_code(readme)]]
    return [line for line in found if line.startswith(starts)]
