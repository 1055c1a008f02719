"""Whether a run of the CLIP suite can begin: what it fetches, what is wrong with that, and the room for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..files import free_space, nearest_existing, read_json
from ..models.hub import cache_folder
from ..paths import cache_dir
from ..suites.clip.backbones import PIXELS
from ..suites.clip.check import Checked, check_repositories, count_repositories
from ..suites.loading import load_suite
from ..suites.suite import require_known


class Disk(NamedTuple):
    """A disk that a run writes to: the folders on it, and bytes needed and free."""

    folders: tuple[Path, ...]
    needed: int
    free: int


class FirstContact(NamedTuple):
    """What `first_contact` found."""

    repositories: list[Checked]
    disks: list[Disk]

    @property
    def faults(self) -> list[str]:
        """What would stop or falsify a run, in one line each."""
        faults = [found.fault for found in self.repositories if found.fault]
        full = [disk for disk in self.disks if disk.needed > disk.free]
        return faults + [f"the disk of {' and '.join(map(str, disk.folders))} is too small" for disk in full]


def first_contact(
    suite: str = "clip",
    backbones: Sequence[str] = (),
    num_tasks: int | None = None,
    *,
    progress: bool = False,
    **options: Any,
) -> FirstContact:
    """Find everything that could stop or falsify a run, without fetching weights or images.

    Revisions are pinned, and cards, lists of class names and configurations read.

    Args:
        suite: its name; only "clip" fetches anything.
        backbones: names; default: all.
        num_tasks: the first of the suite; None for all.
        progress: whether to draw a progress bar.
        options: of `cmmlib.suites.load_suite`.

    Raises:
        ValueError, FileNotFoundError: a bad argument.
    """
    from tqdm import tqdm

    loaded: Any = load_suite(suite, **options)
    if loaded.name != "clip":
        raise ValueError(f"--suite {suite}: it is on this machine, so there is nothing to check; give --suite clip")
    for backbone in backbones:
        require_known("clip", "backbone", backbone, loaded.backbones)
    chosen, tasks = backbones or loaded.backbones, loaded.task_names(num_tasks)
    with tqdm(total=count_repositories(chosen, tasks), desc="checking", unit="repository", disable=not progress) as bar:
        found = check_repositories(loaded, chosen, tasks, loaded.limit, bar.update)
    images = {task.name: min(task.images, loaded.limit or task.images) for task in loaded.tasks if task.name in tasks}
    return FirstContact(found, _disks(found, images))


def _disks(found: Sequence[Checked], images: Mapping[str, int]) -> list[Disk]:
    """What is to be written where: downloads, preprocessed images, and a temporary copy of one test set at a time."""
    copies = max((repository.size for repository in found if repository.kind == "datasets"), default=0)
    prepared = PIXELS * sum(count for _, count in set(images.items()) - _prepared())
    wanted = {
        cache_folder(): sum(repository.missing for repository in found),
        cache_dir(): prepared + (copies if prepared else 0),
    }
    disks: dict[int, list[tuple[Path, int]]] = {}
    for folder, needed in wanted.items():
        disks.setdefault(nearest_existing(folder).stat().st_dev, []).append((folder, needed))
    return [
        Disk(tuple(folder for folder, _ in rows), sum(needed for _, needed in rows), free_space(rows[0][0]))
        for rows in disks.values()
    ]


def _prepared() -> set[tuple[str, int]]:
    """The test sets of the suite that lie preprocessed in the cache: name and number of images."""
    found = set()
    for path in (cache_dir() / "images").glob("*/about.json"):
        try:
            about = read_json(path)
            if about["suite"] == "clip":
                found.add((about["task"], about["shape"][0]))
        except (OSError, ValueError, KeyError, TypeError):  # it will be made again
            continue
    return found
