"""Where the zoo that ships lies."""

from pathlib import Path

ZOO = Path(__file__).parent / "zoo"
