"""The mini suite: three tiny CLIPs, twenty rendered or handwritten tasks and their fine-tuned towers, offline.

It follows the published protocol on a small scale; its numbers are not those of any paper.  Models and test sets are made
on first use in `cache_dir() / "mini-<content hash>"`.
"""

from __future__ import annotations

import filecmp
import json
import shutil
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...paths import cache_dir
from ..suite import TRAINED, evenly_spaced, first_names, require_known
from ..zoos.folders import ensure_folder, folder_of
from .rendered_sets import read_rendered, rendered_hash, write_rendered
from .shipped import ZOO
from .tasks import TASKS, MiniTask
from .towers import write_tower, written_tower_hash

if TYPE_CHECKING:  # datasets takes seconds to import
    from datasets import Dataset
    from pandas import DataFrame

# stand-ins for ViT-B/32, ViT-B/16 (smaller patches) and ViT-L/14 (wider and deeper too)
BACKBONES = ("ViT-mini/12", "ViT-mini/9", "ViT-mini-L/9")
NOT_SHIPPED = ("ViT-mini-S/12",)  # can be built, to judge methods on a zoo that none of them was chosen on
NOT_SCORED = ("accuracies.json", "trained.csv", "SOURCES.md")  # files of the zoo that scores of merged models ignore


class MiniSuite:
    """The suite that ships with cmmlib.  See `cmmlib.suites.suite.Suite` for the interface.

    Args:
        folder: the zoo, by default the one that ships.  The suite has the backbones that are complete in it.

    Raises:
        FileNotFoundError: no backbone is complete.
    """

    name = "mini"
    tasks: tuple[MiniTask, ...] = TASKS
    limit = None
    precision = "float32"

    def __init__(self, folder: str | Path = ZOO) -> None:
        self.folder = folder = Path(folder)
        folders = {name: folder_of(folder, name) for name in BACKBONES + NOT_SHIPPED}
        self.backbones = tuple(name for name, place in folders.items() if (place / "checksums.json").exists())
        if not self.backbones:
            raise FileNotFoundError(
                f"no complete zoo in {folder}; rebuild it: python -m cmmlib.suites.mini.build --out {folder}"
            )
        towers = {name: json.loads((folders[name] / "checksums.json").read_text()) for name in self.backbones}
        self.checksums = {"towers": towers, "test_sets": json.loads((folder / "test_sets.json").read_text())}

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        """Without the folder for the zoo that ships, so that another machine uses its own copy."""
        return type(self), (() if self.folder == ZOO else (self.folder,))

    def task_names(self, n: int | None = None) -> tuple[str, ...]:
        """The first `n` task names in suite order, or all if `n` is None."""
        return first_names(self.tasks, n)

    def content_hash(self, backbone: str) -> str:
        """Hash of a backbone's models, of test sets, class names and prompts."""
        self._require("backbone", backbone, self.backbones)
        return self._content_hashes[backbone]

    @cached_property
    def _content_hashes(self) -> dict[str, str]:
        folders = {name: folder_of(self.folder, name) for name in self.backbones}
        return {name: self._hash_without([folders[other] for other in folders if other != name]) for name in folders}

    def _hash_without(self, left_out: Sequence[Path] = ()) -> str:
        """Hash of all files that scores depend on but those in some folders, and of the tasks."""
        digest = sha256(repr(self.tasks).encode())
        for path in sorted(self.folder.rglob("*")):
            scored = path.is_file() and path.name not in NOT_SCORED and not path.name.startswith(".")
            if scored and not any(folder in path.parents for folder in left_out):
                digest.update(path.relative_to(self.folder).as_posix().encode() + path.read_bytes())
        return digest.hexdigest()

    @cached_property
    def _whole_hash(self) -> str:
        return self._hash_without()

    @property
    def root(self) -> Path:
        """The folder where models and test sets are kept."""
        return cache_dir() / f"mini-{self._whole_hash[:12]}"

    def base(self, backbone: str) -> str:
        """Folder of the pretrained CLIPModel with its tokenizer and image processor."""
        self._require("backbone", backbone, self.backbones)
        sources = (folder_of(self.folder, backbone) / "base", self.folder / "tokenizer")
        files = {path.name: path for source in sources for path in source.iterdir()}

        def intact(folder: Path) -> bool:
            return all(filecmp.cmp(path, folder / name, shallow=False) for name, path in files.items())

        def write(folder: Path) -> None:
            for path in files.values():
                shutil.copy(path, folder)

        target = folder_of(self.root / "models", backbone) / "base"
        ensure_folder(target, write, intact)
        return str(target)

    def checkpoint(self, backbone: str, task_name: str) -> str:
        """Folder of the vision tower fine-tuned on a task, a CLIPVisionModel whose keys start with `vision_model.`"""
        self._require("backbone", backbone, self.backbones)
        self._require("task", task_name, self.task_names())
        zoo = folder_of(self.folder, backbone)
        target = folder_of(self.root / "models", backbone) / task_name
        committed = self.checksums["towers"][backbone][task_name]
        write, measure = partial(write_tower, zoo, task_name), partial(written_tower_hash, zoo)
        self._ensure(target, write, measure, committed, f"{backbone} tower of task {task_name}")
        return str(target)

    def test_set(self, task_name: str, limit: int | None = None) -> Dataset:
        """150 images of a task, or ``limit`` of them: columns image (PIL, 36 × 36 RGB) and label (ClassLabel)."""
        self._require("task", task_name, self.task_names())
        task = next(task for task in self.tasks if task.name == task_name)
        target = self.root / "data" / task_name
        committed = self.checksums["test_sets"][task_name]
        self._ensure(target, partial(write_rendered, task), rendered_hash, committed, f"test set of task {task_name}")
        images = read_rendered(target)
        return images if limit is None else images.select(evenly_spaced(len(images), limit))

    def test_set_key(self, task_name: str) -> str:
        """The committed checksum of the test set, after the suite's and the task's name."""
        self._require("task", task_name, self.task_names())
        return f"mini {task_name} {self.checksums['test_sets'][task_name]}"

    def trained(self, backbone: str) -> DataFrame:
        """The scores that `cmmlib.experiments.trained` measured, as far as this zoo has them."""
        import pandas as pd

        self._require("backbone", backbone, self.backbones)
        path = folder_of(self.folder, backbone) / "trained.csv"
        return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=TRAINED)

    def sources(self, backbone: str, tasks: Sequence[str]) -> list[dict[str, str]]:
        """One row, for the zoo."""
        place = "in cmmlib" if self.folder == ZOO else str(self.folder)
        return [{"kind": "suite", "id": "mini", "place": place, "revision": self.content_hash(backbone)}]

    def _require(self, what: str, value: str, choices: Sequence[str]) -> None:
        require_known(self.name, what, value, choices)

    def _ensure(
        self,
        target: Path,
        write: Callable[[Path], None],
        measure: Callable[[Path], str],
        committed: str,
        what: str,
    ) -> None:
        """Make `target` with `write` unless it is intact; warn if its checksum is not the committed one."""

        def write_with_hash(folder: Path) -> None:
            write(folder)
            (folder / "sha256").write_text(measure(folder))

        def intact(folder: Path) -> bool:  # against its own checksum: another machine's pixels may differ every time
            return measure(folder) == (folder / "sha256").read_text()

        ensure_folder(target, write_with_hash, intact)
        if (target / "sha256").read_text() != committed:
            warnings.warn(
                f"the {what} differs from its committed checksum, so scores may differ from the reference run's. Check "
                f"that {self.folder} is intact and that numpy is not much older or newer, then delete {target}.",
                stacklevel=3,
            )
