"""`ContinualMerger`: a recipe, what stands, and the place where it lives."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..methods import Method
from ..models.saving import save_model
from ..models.source import Model
from .apply_step import ApplyStep
from .arrival import arrive, require_new, warn_if_implausible
from .aside import warn_of
from .export import export_model
from .history import history_frame
from .home import FolderHome, Home, InMemoryHome, restored
from .merged import merged_model, step_folder
from .model_step import merge_model
from .new_recipe import memory_budget, new_recipe, warn_if_hardly_linear, warn_if_larger_than_memory
from .progress import each_of
from .recipe import Recipe
from .standing import Standing
from .state_folder import StateFolder
from .state_record import warn_of_other_code

if TYPE_CHECKING:
    import pandas as pd


class ContinualMerger:
    """Merges models into one as they arrive; none is kept.

    Like scikit-learn's ``partial_fit``: the constructor takes the base and hyper-parameters, ``add`` takes one
    fine-tuned model at a time, and the result can be had after each::

        merger = ContinualMerger("clip-vit-base-patch32", "opcm", alpha=0.5)
        for path in paths:
            merger.add(path)
        tensors = merger.merged()

    Args:
        base: the pretrained model that all models were fine-tuned from: a folder, a ``.safetensors`` file, a hub id, an
            ``nn.Module`` (its weights are read when needed, so leave it alone), or a mapping of tensors.  Of a whole CLIP
            model the vision tower is taken.
        method: name of a method (`cmmlib.get_method`); one of your own as ``path/to/file.py:function``.
        compute_dtype: of the accumulated tensors; default: the base's own, but at least float32.
        device: where to compute; default: the CPU.
        reference_compat: reproduce the published code where it departs from the paper.
        linear: patterns of the names of linear weights, for a base whose architecture cannot be told.
        save_every_step: a folder that receives each intermediate model, as ``step_01_<name>`` and so on.
        revision: commit, branch or tag of a hub id given as base.
        progress: show progress bars on the error stream, if that is a terminal.
        apply_step: applies a layerwise method to one layer elsewhere, such as `cmmlib.experiments.RayLayers`; default:
            side by side on the CPU's threads.
        memory: bytes for the tensors of layers that are merged side by side; default: 704 MiB. A layer that needs more is
            merged alone.
        hashes: take content hashes of the base and of every model, for the model card. A merge that lives in a folder
            takes them in any case, and refuses a model that was merged before.
        **method_params: the method's hyper-parameters.

    Attributes:
        recipe: what is fixed (`cmmlib.merging.recipe.Recipe`).
        standing: what stands after the models so far (`cmmlib.merging.standing.Standing`).
        home: where the merge lives.
        each: the parameters' names, for loops that show progress where that was asked for.
        apply_step: applies the method's steps elsewhere, if anything does.

    Raises:
        ValueError: an unknown method or parameter, integer weights, or a 2-D tensor that may or may not belong to a linear
            layer.
        FileNotFoundError: no such base.
    """

    def __init__(
        self,
        base: Model,
        method: str = "opcm",
        *,
        compute_dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
        reference_compat: bool = False,
        linear: Sequence[str] | None = None,
        save_every_step: str | Path | None = None,
        revision: str | None = None,
        progress: bool = False,
        apply_step: ApplyStep | None = None,
        memory: int | None = None,
        hashes: bool = False,
        **method_params: Any,
    ):
        recipe = new_recipe(
            base,
            method,
            method_params,
            compute_dtype=compute_dtype,
            device=device,
            reference_compat=reference_compat,
            linear=linear,
            revision=revision,
            memory=memory,
            hashes=hashes,
        )
        warn_if_hardly_linear(recipe)
        warn_if_larger_than_memory(recipe)
        self._hold(recipe, Standing(), InMemoryHome(), progress, apply_step)
        self._save_every_step = Path(save_every_step) if save_every_step else None

    def _hold(self, recipe: Recipe, standing: Standing, home: Home, progress: bool, apply_step: ApplyStep | None) -> None:
        self.recipe, self.standing, self.home = recipe, standing, home
        self.each = each_of(recipe.keys, shown=progress)
        self.apply_step = apply_step
        self._save_every_step = None
        self._said: set[str] = set()

    def __len__(self) -> int:
        """Number of models merged so far."""
        return len(self.standing.models)

    def __repr__(self) -> str:
        recipe = self.recipe
        params = "".join(f", {key}={value!r}" for key, value in recipe.params.items())
        return f"ContinualMerger({recipe.base.label!r}, {recipe.method.name!r}{params}): {len(self)} models merged"

    @property
    def method(self) -> Method:
        """The method."""
        return self.recipe.method

    @property
    def params(self) -> Mapping[str, Any]:
        """All hyper-parameters of the method."""
        return self.recipe.params

    @property
    def config(self) -> dict[str, Any] | None:
        """The ``config.json`` that belongs to `merged`, where the base has one; of a CLIP model the vision tower's."""
        return self.recipe.config

    @property
    def history(self) -> pd.DataFrame:
        """One row per model.

        Columns: ``name``; ``task_vector_norm`` ‖τ‖ over all parameters; ``merged_norm`` ‖merged − W0‖ after it;
        ``read_seconds`` and ``merge_seconds``, added up over threads; and the method's own quantities, those that it
        reports per layer as ``_mean``, ``_min`` and ``_max`` over layers; ``left_out``, how many tensors of the model are
        not in the merge.  ``merged_norm`` is missing where a method keeps sums, which are solved when a model is asked for.
        """
        return history_frame(self.standing)

    def add(
        self, model: Model, name: str | None = None, *, revision: str | None = None, allow_repeat: bool = False
    ) -> ContinualMerger:
        """Merge one more fine-tuned model, and return the merger.

        The state, in memory or on disk, changes only when all went well.

        Args:
            model: as the base may be given, or the folder or hub id of a LoRA adapter of the base.
            name: what the history calls it; default: the file's or folder's name, or ``model_<n>``.
            revision: commit, branch or tag of a hub id.
            allow_repeat: in a merge that lives in a folder, merge a model that has been merged before once more.

        Raises:
            ValueError: missing, extra or misshapen tensors, integer weights, NaN or infinity, or a model equal to the base;
                where the merge lives in a folder also a model merged before, or another base than at its start.
            FileNotFoundError: no such model.
            StateInUse: another process is writing the state.
            OSError: no disk space.

        Warns if the task vector is so large that the model is hardly fine-tuned from this base.
        """
        with self.home.current(self.standing):
            number = len(self) + 1
            arrival = arrive(self.recipe, model, name, number, revision)
            target = step_folder(self._save_every_step, number, arrival.name)
            draft = self.home.draft(self.recipe, self.standing)
            try:
                recipe, new, examined = merge_model(
                    self.recipe, self.standing, arrival, draft, apply=self.apply_step, each=self.each
                )
                if recipe.recorded and not allow_repeat:
                    require_new(arrival.source, examined, self.standing)
                warn_if_implausible(arrival.source, recipe.base, examined)
                warn_of(arrival.source, examined.aside, self._said)
                arrival.require_unchanged(recipe.base)
                if target is not None:
                    save_model(merged_model(recipe, new), target, recipe.config)
                self.home.commit(recipe, new, draft)
            except BaseException:
                self.home.abandon(draft)
                raise
            self.recipe = recipe
            self.standing = new
            self.home.settle(recipe, new)
        return self

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write all that is needed to go on, in another process or on another day, into a new folder.

        The merger itself stays in memory; `load` gives one that lives in the folder.

        Raises:
            FileExistsError: the folder is not empty.
            OSError: no disk space.
        """
        FolderHome(StateFolder(folder)).begin(self.recipe, self.standing)

    def export(
        self,
        folder: str | os.PathLike[str],
        *,
        dtype: torch.dtype | None = None,
        whole: bool = False,
        max_shard_bytes: int = 5_000_000_000,
    ) -> Path:
        """Write a folder that transformers' ``from_pretrained`` opens: weights, configuration, processor files, model card.

        Tensors are written one at a time.

        Args:
            dtype: of the tensors; default: each as in the base.
            whole: write a complete CLIP model, with all but the vision tower from the base.
            max_shard_bytes: above this the weights are split over several files.

        Raises:
            FileExistsError: the folder is not empty.
            ValueError: no model has been added, or ``whole`` where the base is not a whole CLIP model.
            OSError: no disk space.
        """
        with self.home.current(self.standing):
            return export_model(
                self.recipe,
                self.standing,
                folder,
                dtype=dtype,
                whole=whole,
                max_shard_bytes=max_shard_bytes,
                keys=self.each("exporting"),
            )

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        base: Model | None = None,
        method: str | None = None,
        device: str | torch.device | None = None,
        progress: bool = False,
        apply_step: ApplyStep | None = None,
        memory: int | None = None,
    ) -> ContinualMerger:
        """A merger that lives in a folder which `save` wrote: it reads tensors one at a time, and `add` commits to it.

        Going on in a new process gives bit for bit what one process gives (same torch, device and number of threads).

        Args:
            base: where the base is now, if not where it was.
            method: the method that the state was started with, where that lies in a file or module of the user's: its code
                is not run because a state names it.
            device, progress, apply_step, memory: see `ContinualMerger`.

        Raises:
            FileNotFoundError: no state there, or its base or its method's file is not found.
            ValueError: it is damaged or of another version, the base is another one, or the method has to be given.
            StateInUse: another process is writing it.
        """
        recipe, standing, home = restored(folder, base, device, method)
        if memory is not None:
            recipe = replace(recipe, memory=memory_budget(memory))
            warn_if_larger_than_memory(recipe)
        warn_of_other_code(recipe, home.folder.path)
        merger = cls.__new__(cls)
        merger._hold(recipe, standing, home, progress, apply_step)
        return merger

    def merged(self, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
        """The merged model: a dict of tensors under the base's own key names.

        Args:
            dtype: of the tensors; default: each as in the base.

        Returns:
            The names are the base's own: those of its file, or of its ``state_dict`` where it was given as a module.  For a
            module out of a folder, `export` and ``from_pretrained``.

        Raises:
            ValueError: no model has been added.
        """
        with self.home.current(self.standing):
            return merged_model(self.recipe, self.standing, dtype)
