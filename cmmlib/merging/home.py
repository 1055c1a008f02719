"""Where a merge lives: in memory alone, or in a folder that outlives the process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from typing import Protocol

import torch

from ..files import require_space
from ..models.source import Model
from .accumulated import PART, Draft, InMemory, OnDisk, OnDiskDraft
from .recipe import Recipe
from .standing import Standing
from .state_folder import StateFolder
from .state_json import generation_name
from .state_record import on_record, recipe_of, standing_of, to_record


class Home(Protocol):
    """What a merge needs of the place that it lives in; a step is `draft`, then `commit` or `abandon`, then `settle`."""

    def current(self, standing: Standing) -> AbstractContextManager[None]:
        """For a ``with``: nobody else changes what stands meanwhile."""

    def draft(self, recipe: Recipe, standing: Standing) -> Draft:
        """What takes the next step's accumulated tensors."""

    def commit(self, recipe: Recipe, new: Standing, draft: Draft) -> None:
        """From now on the new one stands."""

    def abandon(self, draft: Draft) -> None:
        """The step has failed: the old one stands."""

    def settle(self, recipe: Recipe, new: Standing) -> None:
        """Remove what stood before."""


class InMemoryHome:
    """Nowhere but in the merger itself, which is why there is nothing to do."""

    @contextmanager
    def current(self, standing: Standing) -> Iterator[None]:
        """Nobody else can change what stands."""
        yield

    def draft(self, recipe: Recipe, standing: Standing) -> InMemory:
        """An empty mapping."""
        return InMemory()

    def commit(self, recipe: Recipe, new: Standing, draft: Draft) -> None:
        """It stands when the merger holds it."""

    def abandon(self, draft: Draft) -> None:
        """The merger has not taken it."""

    def settle(self, recipe: Recipe, new: Standing) -> None:
        """The old one goes when nobody holds it."""


class FolderHome:
    """A state folder, whose lock is held for as long as an operation takes."""

    def __init__(self, folder: StateFolder):
        self.folder = folder

    @contextmanager
    def current(self, standing: Standing) -> Iterator[None]:
        """Hold the lock, with the folder at what stands.

        Raises:
            StateInUse: another process holds it.
            ValueError: another process has added a model since.
        """
        with self.folder.locked():
            record = self.folder.record()
            if record["models"] != list(standing.models):
                raise ValueError(f"{self.folder.path} has been changed by another process meanwhile; load it again")
            self.folder.sweep(record)
            yield

    def draft(self, recipe: Recipe, standing: Standing) -> OnDiskDraft:
        """The next generation's file, where as many bytes as it is likely to take must be free."""
        present = standing.accumulated
        needed = present.path.stat().st_size if isinstance(present, OnDisk | OnDiskDraft) else recipe.accumulated_bytes
        require_space(self.folder.path, needed)
        return self._generation(recipe, len(standing.models) + 1)

    def commit(self, recipe: Recipe, new: Standing, draft: Draft | None) -> None:
        """Rename the JSON that names the new generation."""
        assert draft is None or isinstance(draft, OnDiskDraft)
        self.folder.commit(to_record(recipe, new), draft)

    def abandon(self, draft: Draft) -> None:
        """Remove the new generation, unless it has just been committed."""
        assert isinstance(draft, OnDiskDraft)
        self.folder.abandon(draft)

    def settle(self, recipe: Recipe, new: Standing) -> None:
        """Remove the generation before."""
        self.folder.settle(to_record(recipe, new))

    def begin(self, recipe: Recipe, standing: Standing) -> None:
        """Write a merge that was in memory so far; if that fails, nothing of it stays.

        Raises:
            FileExistsError: the folder is not empty.
            OSError: no disk space.
        """
        folder = self.folder
        if any(PART in key for key in recipe.keys):
            raise ValueError(f"{recipe.base.label}: a parameter's name holds '::', which a state keeps for its own use")
        recipe = on_record(recipe)
        folder.require_free()
        require_space(folder.path, recipe.accumulated_bytes if standing.models else 0)
        with folder.created(), folder.locked():
            draft = self._generation(recipe, len(standing.models)) if standing.accumulated is not None else None
            try:
                if draft is not None and standing.accumulated is not None:
                    for unit in chain.from_iterable(recipe.units.values()):
                        draft.put(unit, standing.accumulated[unit])
                self.commit(recipe, standing, draft)
            except BaseException:
                if draft is not None:
                    self.abandon(draft)
                raise
            self.settle(recipe, standing)

    def _generation(self, recipe: Recipe, models: int) -> OnDiskDraft:
        return OnDiskDraft(self.folder.path / str(generation_name(models)), chain.from_iterable(recipe.units.values()))


def restored(
    path: str | os.PathLike[str], base: Model | None, device: str | torch.device | None, method: str | None = None
) -> tuple[Recipe, Standing, FolderHome]:
    """The merge that lives in a folder; see `cmmlib.ContinualMerger.load` for arguments and errors."""
    folder = StateFolder(path)
    folder.record()  # before the lock, which makes a file
    with folder.locked():
        record = folder.record()
        folder.sweep(record)
        accumulated = OnDisk(folder.generation(record["running"])) if record["running"] else None
    recipe = recipe_of(record, folder.path, base, device, method)
    return recipe, standing_of(record, accumulated, recipe), FolderHome(folder)
