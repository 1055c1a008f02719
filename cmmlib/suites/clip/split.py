"""A task's test split in its repository: found, checked, read."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from .contents import Contents, SplitFile, parquet_contents, tar_contents
from .label_column import LABEL_RULE
from .label_names import check_labels, only_numbers
from .reading import read_rows
from .repositories import Repositories
from .sampling import LIMIT_RULE, Chosen, chosen_rows, described
from .split_files import CARD, card_names, read_card, split_files
from .tasks import ClipTask

if TYPE_CHECKING:  # takes seconds to import
    from datasets import Dataset

CLASS_NAMES = "classnames.txt"
TAR_BUFFER = 1 << 20  # bytes per request: headers of tar files lie between the images


class Split:
    """The files of the split that a task is scored on.

    Only the data set's card and list of class names are fetched to find them.

    Args:
        check_names: whether the label names that the data set declares must be the task's.

    Raises:
        ValueError: there are no such files, or some are missing (`cmmlib.suites.clip.split_files`).
        FileNotFoundError: the repository cannot be reached.
    """

    def __init__(self, repositories: Repositories, task: ClipTask, *, check_names: bool = True) -> None:
        self.repositories, self.task, self.check_names = repositories, task, check_names
        names = repositories.names("datasets", task.dataset)
        self.about = [name for name in (CARD, CLASS_NAMES) if name in names]
        self.folder = repositories.fetch("datasets", task.dataset, self.about) if self.about else None
        card = read_card(self.folder / CARD) if self.folder and CARD in self.about else {}
        self.files = split_files(names, card, task)
        self.parquet = self.files[0].endswith(".parquet")

    def key(self) -> str:
        """Data set, configuration, split, revision, columns and the rules for labels and limits, as JSON."""
        task = self.task
        revision = self.repositories.revision("datasets", task.dataset, [*self.about, *self.files])
        rules = [LABEL_RULE, LIMIT_RULE]
        return json.dumps([task.dataset, task.config, task.split, revision, task.image, task.label, *rules])

    def contents(self) -> Contents:
        """What the files hold: checked, without their images.

        Of Parquet files on the hub only the footers are fetched.  Headers in a tar file lie between its images, so that a
        walk through them fetches all of it; it is kept nowhere.

        Raises:
            ValueError: a file is damaged; a column is missing or holds something else; labels are named differently; or
                the number of images is not that of the split.
            FileNotFoundError: the hub cannot be reached.
        """
        task = self.task
        found = (parquet_contents if self.parquet else tar_contents)(list(self._opened()), task)
        if self.check_names:
            for where, names in self._declared(found):
                check_labels(task, names, where)
        if found.rows != task.images:
            less = "some are missing, as after an interrupted download: fetch the files again, or"
            raise ValueError(
                f"data set {task.dataset}: split {task.split!r} holds {found.rows:,} images in {len(self.files)} files, not "
                f"{task.images:,}: {less if found.rows < task.images else 'the data set has changed:'} give another commit, "
                f'revisions={{"{task.dataset}": "<commit>"}}'
            )
        return found

    def read(self, limit: int | None) -> Dataset:
        """The images and labels, at most ``limit``; see `cmmlib.suites.clip.reading.read_rows` for space and errors.

        Without a limit the files are fetched and kept.  With one, only the row groups that are needed are fetched, and a
        line on the error stream says which rows they are; tar files are fetched whole all the same.
        """
        key = self.key()  # first, as a folder that has changed is not read
        if not self.parquet:
            self._fetch()
        found = self.contents()
        if limit is None:
            self._fetch()
        chosen = self.chosen(found, limit)
        if limit is not None:
            print(described(self.task.name, found.groups, chosen), file=sys.stderr)
        names = next((names for _, names in self._declared(found)), None)
        return read_rows(chosen, self.task, key, names)

    def chosen(self, found: Contents, limit: int | None) -> Chosen:
        """The groups and rows that a limit leaves."""
        return chosen_rows(found.groups, limit)

    def _fetch(self) -> None:
        self.repositories.fetch("datasets", self.task.dataset, self.files)

    def _opened(self) -> Iterator[SplitFile]:
        buffer = {} if self.parquet else {"buffer": TAR_BUFFER}
        for name in self.files:
            here = self.repositories.path("datasets", self.task.dataset, name)
            opened = partial(self.repositories.open, "datasets", self.task.dataset, name, **buffer)
            yield SplitFile(str(here or f"{name} on the hub"), opened)

    def _declared(self, found: Contents) -> Iterator[tuple[str, Sequence[str]]]:
        """Where label names are declared, and the names: the card and the files; if these tell none, the list of names."""
        card = card_names(self.folder, self.task) if self.folder and CARD in self.about else None
        declared = ({f"{self.folder}/{CARD}": card} if card else {}) | dict(found.names)
        yield from declared.items()
        if all(map(only_numbers, declared.values())) and self.folder and CLASS_NAMES in self.about:
            lines = (self.folder / CLASS_NAMES).read_text("utf-8").split("\n")
            yield f"{self.folder}/{CLASS_NAMES}", [line.strip() for line in lines if line.strip()]
